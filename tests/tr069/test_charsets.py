"""Charsets a CPE may name: those it may really write in, and no other codec that Python happens to have."""

from __future__ import annotations

import pytest

from tr069.cwmp.xml import parse
from tr069.errors import UnsafeXmlError


@pytest.mark.parametrize(
    ('charset', 'text'),
    [
        ('ISO-8859-15', 'é€'), ('iso_8859-2', 'ł'), ('Windows-1251', 'ж'), ('cp1252', 'é'), ('latin1', 'é'),
        ('UTF-16LE', 'é'), ('GB2312', '中'), ('gbk', '中'), ('GB18030', '中'), ('Big5', '中'), ('Shift_JIS', 'カ'),
        ('EUC-KR', '한'),
    ],
)  # fmt: skip
def test_what_cpes_write_in_is_read(charset: str, text: str) -> None:
    assert parse(f'<a>{text}</a>'.encode(charset), charset).text == text


@pytest.mark.parametrize('charset', ['punycode', 'idna', 'utf-7', 'unicode_escape', 'rot13', 'zlib', 'hex', 'no-such'])
def test_any_other_codec_is_refused_before_it_is_tried(charset: str) -> None:
    with pytest.raises(UnsafeXmlError, match='unknown encoding'):
        parse(b'<a>-' + b'a' * 60_000 + b'</a>', charset)
