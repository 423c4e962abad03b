"""XML from an untrusted sender: no DTD, no entities, nothing fetched, bounded in size and depth."""

from __future__ import annotations

import re
import threading
import zlib

from lxml import etree

from tr069.cwmp.charset import to_utf8
from tr069.errors import MalformedXmlError, UnsafeXmlError

MAX_BODY = 4 * 1024 * 1024  # bytes, after decompression: a full GetParameterValues of a big tree is about 1.5 MB
MAX_TAGS = 400_000  # a body of nothing but parameters has some 40,000 a megabyte; of nothing but tags, ten times that

_FORBIDDEN_MARKUP = (b'<!DOCTYPE', b'<!ENTITY')
# Characters XML 1.0 forbids. Only for models whose profile says `recover_xml`.
_FORBIDDEN = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]')

_OPTIONS = {
    'encoding': 'utf-8',  # what it is by now: nothing is left for libxml2 to guess
    'resolve_entities': False,
    'no_network': True,
    'load_dtd': False,
    'dtd_validation': False,
    'attribute_defaults': False,
    'huge_tree': False,  # keeps libxml2's own limits: depth 256, 10 MB a text node
    'remove_comments': True,
    'remove_pis': True,
    'collect_ids': False,
}


class _RefuseAll(etree.Resolver):
    """Whatever a document names, it is not opened: no file, no URL, no device."""

    def resolve(self, _system_url: str, _public_id: str, _context: object) -> None:  # type: ignore[override]
        raise UnsafeXmlError('the envelope wants something else opened')


class _Parsers(threading.local):
    """A thread's own: lxml locks a parser while it is used, and the event loop waits for nobody's big body."""

    def __init__(self) -> None:
        self.strict = etree.XMLParser(**_OPTIONS)  # type: ignore[arg-type]
        self.recovering = etree.XMLParser(recover=True, **_OPTIONS)  # type: ignore[arg-type]
        for parser in (self.strict, self.recovering):
            parser.resolvers.add(_RefuseAll())


_parsers = _Parsers()


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


def parse(body: bytes, charset: str = '', *, recover: bool = False) -> etree._Element:
    """Parse an envelope. `charset` is the Content-Type's, if any.

    Raises `UnsafeXmlError` for a DTD, an entity, a charset that is not said, a body over `MAX_BODY`, too deep nesting,
    or malformed XML (which `recover` tolerates, for models that cannot do better).
    """
    if len(body) > MAX_BODY:
        raise UnsafeXmlError(f'the body of {len(body)} bytes is over the limit of {MAX_BODY}', 8004)
    data = to_utf8(body, charset)
    # Before the parser sees it: a DTD is the door to XXE and to entity bombs, and no CPE needs one.
    if any(markup in data for markup in _FORBIDDEN_MARKUP):
        raise UnsafeXmlError('the envelope carries a DTD, which SOAP 1.1 forbids')
    if data.count(b'<') > MAX_TAGS:
        raise UnsafeXmlError(f'the envelope has more than {MAX_TAGS} tags', 8004)
    if recover:
        data = _FORBIDDEN.sub('', data.decode('utf-8', 'replace')).encode()
    try:
        root = etree.fromstring(data.lstrip(), _parsers.recovering if recover else _parsers.strict)
    except etree.XMLSyntaxError as error:
        raise MalformedXmlError(f'the envelope is not well-formed XML: {error.msg}') from error
    if root is None:
        raise UnsafeXmlError('the envelope is empty')
    info = root.getroottree().docinfo
    if info.internalDTD is not None or info.externalDTD is not None:
        raise UnsafeXmlError('the envelope carries a DTD, which SOAP 1.1 forbids')  # however it was spelled
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
