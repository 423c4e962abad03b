"""From whatever charset a CPE writes in to UTF-8: the XML parser gets to see nothing else, and guesses nothing."""

from __future__ import annotations

import codecs
import re

from tr069.errors import UnsafeXmlError

_DECLARATION = re.compile(rb'\s*<\?xml[^>]{0,200}?\?>')
_DECLARED_CHARSET = re.compile(rb'encoding\s*=\s*["\']([A-Za-z0-9._-]{1,40})["\']')
_UTF8 = frozenset(('', 'utf-8', 'utf8', 'us-ascii', 'ascii'))
# What CPEs write in. Python knows more codecs, and some of them (punycode) take the square of a body's length.
_CHARSETS = frozenset(
    (
        *(f'{prefix}{number}' for prefix in ('iso-8859-', 'iso8859-') for number in range(1, 17)),
        *(f'{prefix}{number}' for prefix in ('windows-', 'cp') for number in range(1250, 1259)),
        'latin1', 'latin-1', 'utf-16', 'utf-16le', 'utf-16be', 'utf-16-le', 'utf-16-be', 'koi8-r',
        'gb2312', 'gbk', 'gb18030', 'big5', 'shift-jis', 'sjis', 'euc-jp', 'euc-kr',
    )
)  # fmt: skip
# The longer ones first: UTF-32's little-endian mark begins with that of UTF-16. No CPE writes UTF-32.
_MARKS = (
    (codecs.BOM_UTF32_LE, ''),
    (codecs.BOM_UTF32_BE, ''),
    (codecs.BOM_UTF8, 'utf-8'),
    (codecs.BOM_UTF16_LE, 'utf-16-le'),
    (codecs.BOM_UTF16_BE, 'utf-16-be'),
)


def to_utf8(body: bytes, header_charset: str = '') -> bytes:
    """The body in UTF-8, without byte order mark and XML declaration.

    A mark says it; else the header's charset wins over the declaration's (RFC 7303). Without any of them it is UTF-8.
    Raises `UnsafeXmlError` for a charset that no CPE writes in, for one that was not said (XML would have it guessed
    from the zeros between the letters, and a check for forbidden markup would look past it), and for text that is not
    in the charset it is said to be in.
    """
    charset, body = _charset_of(body, header_charset)
    if charset not in _UTF8:
        if charset not in _CHARSETS:
            raise UnsafeXmlError(f'the body is in {charset!r}: unknown encoding, or none that a CPE writes in')
        try:
            body = body.decode(charset).removeprefix('\ufeff').encode()
        except (LookupError, UnicodeError) as error:
            raise UnsafeXmlError(f'the body is not in its charset {charset!r}: {_reason(error)}') from error
    if b'\0' in body:
        raise UnsafeXmlError('the body holds a zero, or is in a charset that it does not name')
    declaration = _DECLARATION.match(body)
    return body[declaration.end() :] if declaration else body


def _charset_of(body: bytes, header_charset: str) -> tuple[str, bytes]:
    """The charset, and the body without its mark."""
    for mark, charset in _MARKS:
        if body.startswith(mark):
            if not charset:
                raise UnsafeXmlError('the body is in UTF-32, which no CPE writes')
            return charset, body[len(mark) :]
    charset = header_charset.lower().replace('_', '-')
    if not charset:
        declaration = _DECLARATION.match(body)
        declared = _DECLARED_CHARSET.search(declaration.group()) if declaration else None
        charset = declared.group(1).decode().lower().replace('_', '-') if declared else ''
    if charset == 'utf-16':
        # Without a mark RFC 2781 has it big-endian; what every envelope begins with tells better.
        charset = 'utf-16-le' if body[:2] == b'<\0' else 'utf-16-be'
    return charset, body


def _reason(error: Exception) -> str:
    """What is wrong and where, without a piece of the body in it."""
    return f'{error.reason} at byte {error.start}' if isinstance(error, UnicodeDecodeError) else type(error).__name__
