"""XML from a stranger: no DTD, no entities, nothing fetched, bounded in size and depth."""

from __future__ import annotations

import re
import zlib

from lxml import etree

from tr069.errors import UnsafeXmlError

MAX_BODY = 4 * 1024 * 1024  # bytes, after decompression: a full GetParameterValues of a big tree is about 1.5 MB

_DECLARATION = re.compile(rb'\s*<\?xml[^>]{0,200}?\?>')
_DECLARED_CHARSET = re.compile(rb'encoding\s*=\s*["\']([A-Za-z0-9._-]{1,40})["\']')
_UTF8 = frozenset(('utf-8', 'utf8', 'us-ascii', 'ascii'))
# What CPEs write in. Python knows more codecs, and some of them (punycode) take the square of a body's length.
_CHARSETS = frozenset(
    (
        *(f'{prefix}{number}' for prefix in ('iso-8859-', 'iso8859-') for number in range(1, 17)),
        *(f'{prefix}{number}' for prefix in ('windows-', 'cp') for number in range(1250, 1259)),
        'latin1', 'latin-1', 'utf-16', 'utf-16le', 'utf-16be', 'koi8-r',
        'gb2312', 'gbk', 'gb18030', 'big5', 'shift-jis', 'sjis', 'euc-jp', 'euc-kr',
    )
)  # fmt: skip
# Characters XML 1.0 forbids. Only for models whose profile says `recover_xml`.
_FORBIDDEN = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]')

_OPTIONS = {
    'resolve_entities': False,
    'no_network': True,
    'load_dtd': False,
    'huge_tree': False,  # keeps libxml2's own limits: depth 256, 10 MB a text node
    'remove_comments': True,
    'remove_pis': True,
    'collect_ids': False,
}
_STRICT = etree.XMLParser(**_OPTIONS)  # type: ignore[arg-type]
_RECOVERING = etree.XMLParser(recover=True, **_OPTIONS)  # type: ignore[arg-type]


def decompress(body: bytes, encoding: str, limit: int = MAX_BODY) -> bytes:
    """Undo `Content-Encoding` gzip or deflate, giving up at `limit` bytes. Raises `UnsafeXmlError`."""
    # 47: zlib or gzip header, whichever is there; some CPEs send raw deflate under the name "deflate".
    for wbits in (47,) if encoding == 'gzip' else (47, -15):
        unpacker = zlib.decompressobj(wbits)
        try:
            data = unpacker.decompress(body, limit + 1)
        except zlib.error:
            continue
        if len(data) > limit:
            raise UnsafeXmlError(f'the body unpacks to more than {limit} bytes', 8004)
        if not unpacker.eof:
            raise UnsafeXmlError(f'the {encoding} body is cut short')
        return data
    raise UnsafeXmlError(f'the body is not {encoding} as its header says')


def _to_utf8(body: bytes, header_charset: str) -> bytes:
    """The body without its XML declaration, in UTF-8. The header's charset wins over the declaration's (RFC 7303)."""
    if body[:2] in (b'\xff\xfe', b'\xfe\xff'):
        charset = 'utf-16'
    else:
        body = body.removeprefix(b'\xef\xbb\xbf')
        declaration = _DECLARATION.match(body)
        declared = _DECLARED_CHARSET.search(declaration.group()) if declaration else None
        charset = header_charset or (declared.group(1).decode() if declared else '')
        if declaration:
            body = body[declaration.end() :]
    if not charset or charset.lower() in _UTF8:
        return body
    if charset.lower().replace('_', '-') not in _CHARSETS:
        raise UnsafeXmlError(f'the body is not in its charset {charset!r}: unknown encoding: {charset}')
    try:
        text = body.decode(charset)
    except (LookupError, UnicodeDecodeError) as error:
        raise UnsafeXmlError(f'the body is not in its charset {charset!r}: {error}') from error
    if charset == 'utf-16':
        text = re.sub(r'^\s*<\?xml[^>]{0,200}?\?>', '', text)
    return text.encode('utf-8', 'replace')


def parse(body: bytes, charset: str = '', *, recover: bool = False) -> etree._Element:
    """Parse an envelope. `charset` is the Content-Type's, if any.

    Raises `UnsafeXmlError` for a DTD, an entity, a body over `MAX_BODY`, too deep nesting, or malformed XML
    (which `recover` tolerates, for models that cannot do better).
    """
    if len(body) > MAX_BODY:
        raise UnsafeXmlError(f'the body of {len(body)} bytes is over the limit of {MAX_BODY}', 8004)
    data = _to_utf8(body, charset)
    # Before the parser sees it: a DTD is the door to XXE and to entity bombs, and no CPE needs one.
    if b'<!DOCTYPE' in data or b'<!ENTITY' in data:
        raise UnsafeXmlError('the envelope carries a DTD, which SOAP 1.1 forbids')
    if recover:
        data = _FORBIDDEN.sub('', data.decode('utf-8', 'replace')).encode()
    try:
        root = etree.fromstring(data.lstrip(), _RECOVERING if recover else _STRICT)
    except etree.XMLSyntaxError as error:
        raise UnsafeXmlError(f'the envelope is not well-formed XML: {error.msg}') from error
    if root is None:
        raise UnsafeXmlError('the envelope is empty')
    return root


def local(element: etree._Element) -> str:
    """The element's name without its namespace: CPEs use every prefix there is."""
    # An undeclared entity becomes a node whose tag is a function; it has no name.
    tag = element.tag
    return tag.rpartition('}')[2] if isinstance(tag, str) else ''


def child(element: etree._Element, name: str) -> etree._Element | None:
    """The first child of that local name."""
    for item in element:
        tag = item.tag
        if tag == name or (isinstance(tag, str) and tag.rpartition('}')[2] == name):
            return item
    return None


def text(element: etree._Element | None, name: str = '') -> str:
    """The stripped text of an element, or of its child `name`; empty where there is none."""
    found = child(element, name) if element is not None and name else element
    content = found.text if found is not None else None
    return content.strip() if content else ''
