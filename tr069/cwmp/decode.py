"""From an envelope of a CPE to a message. Tolerant of what CPEs do, strict about what would be unsafe."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from lxml import etree

from tr069.cwmp import messages as m
from tr069.cwmp.faults import AcsFault, Fault, SetFault
from tr069.cwmp.xml import child, local, parse, text
from tr069.errors import CwmpDecodeError

CWMP_PREFIX = 'urn:dslforum-org:cwmp-1-'
DEFAULT_NAMESPACE = CWMP_PREFIX + '0'
_SOAP = frozenset(('http://schemas.xmlsoap.org/soap/envelope/', 'http://schemas.xmlsoap.org/soap/envelope'))
_XSI_TYPE = (
    '{http://www.w3.org/2001/XMLSchema-instance}type',
    '{http://www.w3.org/1999/XMLSchema-instance}type',
    'type',
)
_MAX_ID = 256


def decode(body: bytes, charset: str = '', *, recover: bool = False) -> m.Envelope:
    """Raises `CwmpDecodeError` where this is no CWMP envelope; oddities that do no harm become `warnings`."""
    root = parse(body, charset, recover=recover)
    warnings: list[str] = []
    if local(root) != 'Envelope':
        raise CwmpDecodeError(f'the root element is {local(root)!r}, not a SOAP Envelope')
    soap = _namespace(root)
    if soap and soap not in _SOAP:
        raise CwmpDecodeError(f'the envelope is of {soap!r}; CWMP uses SOAP 1.1', AcsFault.VERSION_INCOMPATIBLE)
    soap_body = child(root, 'Body')
    content = next(_elements(soap_body), None) if soap_body is not None else None
    if content is None:
        raise CwmpDecodeError('the envelope has no body')
    name = local(content)
    identifier, header_namespace = _header(root)
    if name == 'Fault':
        fault = child(content, 'detail')
        inner = child(fault, 'Fault') if fault is not None else None
        namespace = _cwmp(header_namespace or (_namespace(inner) if inner is not None else ''), warnings)
        return m.Envelope(_fault(content, inner), identifier, namespace, tuple(warnings), _prefixes(root, namespace))
    namespace = _cwmp(_namespace(content) or header_namespace, warnings)
    decoder = _DECODERS.get(name)
    if decoder is not None:
        message = decoder(content, warnings)
    elif name in _STATUS_RESPONSES:
        message = _status(content, warnings)
    elif name.endswith('Response'):
        raise CwmpDecodeError(f'{name} answers nothing this ACS asks')
    else:
        message = m.UnknownRequest(name[:64])
    return m.Envelope(message, identifier, namespace, tuple(warnings), _prefixes(content, namespace))


_NAMESPACES = {
    'http://schemas.xmlsoap.org/soap/envelope/': 'soap',
    'http://schemas.xmlsoap.org/soap/envelope': 'soap',
    'http://schemas.xmlsoap.org/soap/encoding/': 'enc',
    'http://www.w3.org/2001/XMLSchema': 'xsd',
    'http://www.w3.org/2001/XMLSchema-instance': 'xsi',
}
_MAX_PREFIX = 32


def _prefixes(element: etree._Element, cwmp: str) -> m.Prefixes:
    """Ours, but for those that the CPE has given the same namespaces, where that makes no two of them the same."""
    theirs: dict[str, str] = {}
    for prefix, uri in element.nsmap.items():
        name = 'cwmp' if uri == cwmp else _NAMESPACES.get(uri)
        if name is not None and prefix and len(prefix) <= _MAX_PREFIX:
            theirs.setdefault(name, prefix)
    found = m.PREFIXES._replace(**theirs)
    return found if len(set(found)) == len(found) else m.PREFIXES


def _namespace(element: etree._Element) -> str:
    tag = element.tag
    return tag[1:].partition('}')[0] if isinstance(tag, str) and tag.startswith('{') else ''


def _elements(parent: etree._Element) -> Iterator[etree._Element]:
    return (item for item in parent if isinstance(item.tag, str))


_CWMP = re.compile(re.escape(CWMP_PREFIX) + r'\d{1,2}')


def _cwmp(namespace: str, warnings: list[str]) -> str:
    """1.2, 1.3 and 1.4 all use cwmp-1-2; any cwmp-1-* is answered as it came."""
    if not namespace:
        warnings.append('no CWMP namespace')
        return DEFAULT_NAMESPACE
    if not _CWMP.fullmatch(namespace):
        raise CwmpDecodeError(f'{namespace[:80]!r} is no CWMP 1.x namespace', AcsFault.VERSION_INCOMPATIBLE)
    return namespace


def _header(root: etree._Element) -> tuple[str, str]:
    """The `cwmp:ID` and its namespace; both empty where missing."""
    header = child(root, 'Header')
    identifier = child(header, 'ID') if header is not None else None
    if identifier is None:
        return '', ''
    value = text(identifier)
    if len(value) > _MAX_ID:
        raise CwmpDecodeError(f'the cwmp:ID has {len(value)} characters')
    return value, _namespace(identifier)


def _number(value: str, default: int | None = None) -> int | None:
    try:
        return int(value)
    except ValueError:
        return default


def _boolean(value: str) -> bool:
    return value.lower() in ('1', 'true')


def _type_of(item: etree._Element) -> str:
    for attribute in _XSI_TYPE:
        declared = item.get(attribute)
        if declared is not None:
            return _kind(declared)
    return ''


@lru_cache(256)
def _kind(declared: str) -> str:
    """The type, always under our prefix; empty for one that is none (`xsd:`, `xsd:Int`): no CPE would take it back."""
    name = declared.rpartition(':')[2]
    return f'xsd:{name}' if name in m.XSD_TYPES else ''


def _pair(struct: etree._Element) -> tuple[str, str, str]:
    """Name, value and type of a ParameterValueStruct; the name is empty where there is none."""
    if len(struct) == 2:
        first, second = struct
        if first.tag == 'Name' and second.tag == 'Value':  # nearly all: there are dozens in every Inform
            declared = second.get(_XSI_TYPE[0])
            kind = _kind(declared) if declared else _type_of(second)
            return (first.text or '').strip(), second.text or '', kind
    name = kind = ''
    value: str | None = None
    for item in struct:
        tag = local(item)
        if tag == 'Name':
            name = (item.text or '').strip()
        elif tag == 'Value':
            value, kind = item.text or '', _type_of(item)
    # A parameter without a `Value` was not read. Taken for an empty one, it would be saved and put back as that.
    return (name, value, kind) if value is not None else ('', '', '')


def _values(container: etree._Element | None, warnings: list[str]) -> tuple[m.ParameterValue, ...]:
    pairs = [_pair(struct) for struct in container] if container is not None else []
    unread = sum(not name for name, _, _ in pairs)
    if unread:
        warnings.append(f'{unread} parameters without a name or a value')
    untyped = sum(not kind for name, _, kind in pairs if name)
    if untyped:
        warnings.append(f'{untyped} values without xsi:type')
    return tuple([m.ParameterValue._make(pair) for pair in pairs if pair[0]])


def _inform(content: etree._Element, warnings: list[str]) -> m.Inform:
    device = manufacturer = oui = product_class = serial = None
    events: list[m.Event] = []
    parameters: tuple[m.ParameterValue, ...] = ()
    retry_count, current_time, seen = 0, '', set()
    for item in content:
        tag = local(item)
        seen.add(tag)
        if tag == 'DeviceId':
            device = item
            parts = {local(part): text(part) for part in item}
            manufacturer, oui = parts.get('Manufacturer', ''), parts.get('OUI', '')
            product_class, serial = parts.get('ProductClass', ''), parts.get('SerialNumber', '')
        elif tag == 'Event':
            events = [m.Event(text(event, 'EventCode'), text(event, 'CommandKey')) for event in _elements(item)]
        elif tag == 'ParameterList':
            parameters = _values(item, warnings)
        elif tag == 'RetryCount':
            retry_count = _number(text(item), 0) or 0
        elif tag == 'CurrentTime':
            current_time = text(item)
    if device is None or not oui or not serial:
        raise CwmpDecodeError('the Inform does not say who it is from (DeviceId with OUI and SerialNumber)')
    if max(map(len, (manufacturer or '', oui, product_class or '', serial))) > 128:
        raise CwmpDecodeError('a part of the DeviceId is over 128 characters')
    warnings.extend(f'no {name}' for name in ('Event', 'RetryCount') if name not in seen)
    identity = m.DeviceId(manufacturer or '', oui, product_class or '', serial)
    return m.Inform(identity, tuple(events), m.Parameters.of(parameters), retry_count, current_time)


def _fault(content: etree._Element, inner: etree._Element | None) -> Fault:
    if inner is None:  # a bare SOAP fault: no CWMP code to go by
        return Fault(9002, text(content, 'faultstring') or 'SOAP fault without CWMP detail')
    details = [
        SetFault(
            text(item, 'ParameterName'),
            _number(text(item, 'FaultCode'), 9003) or 9003,
            text(item, 'FaultString'),
        )
        for item in _elements(inner)
        if local(item) == 'SetParameterValuesFault'
    ]
    return Fault(_number(text(inner, 'FaultCode'), 9002) or 9002, text(inner, 'FaultString'), tuple(details))


def _get_values(content: etree._Element, warnings: list[str]) -> m.GetParameterValuesResponse:
    return m.GetParameterValuesResponse(_values(child(content, 'ParameterList'), warnings))


def _get_names(content: etree._Element, _warnings: list[str]) -> m.GetParameterNamesResponse:
    container = child(content, 'ParameterList')
    structs = _elements(container) if container is not None else ()
    return m.GetParameterNamesResponse(
        tuple(m.ParameterInfo(text(item, 'Name'), _boolean(text(item, 'Writable'))) for item in structs)
    )


def _get_attributes(content: etree._Element, _warnings: list[str]) -> m.GetParameterAttributesResponse:
    container = child(content, 'ParameterList')
    found = []
    for item in _elements(container) if container is not None else ():
        access = child(item, 'AccessList')
        found.append(
            m.ParameterAttribute(
                text(item, 'Name'),
                _number(text(item, 'Notification'), 0) or 0,
                tuple(text(entry) for entry in _elements(access)) if access is not None else (),
            )
        )
    return m.GetParameterAttributesResponse(tuple(found))


_STATUS_RESPONSES = frozenset(
    (
        'SetParameterValuesResponse',
        'SetParameterAttributesResponse',
        'AddObjectResponse',
        'DeleteObjectResponse',
        'RebootResponse',
        'FactoryResetResponse',
        'DownloadResponse',
        'ScheduleInformResponse',
    )
)
_HAVE_STATUS = frozenset(
    ('SetParameterValuesResponse', 'AddObjectResponse', 'DeleteObjectResponse', 'DownloadResponse')
)


def _status(content: etree._Element, warnings: list[str]) -> m.StatusResponse:
    name = local(content)
    status = _number(text(content, 'Status'))
    if status is None and name in _HAVE_STATUS:
        warnings.append(f'{name} without Status')
    return m.StatusResponse(name, status, _number(text(content, 'InstanceNumber')))


def _rpc_methods(content: etree._Element, _warnings: list[str]) -> m.GetRPCMethodsResponse:
    container = child(content, 'MethodList')
    return m.GetRPCMethodsResponse(tuple(text(item) for item in container) if container is not None else ())


def _transfer_complete(content: etree._Element, _warnings: list[str]) -> m.TransferComplete:
    struct = child(content, 'FaultStruct')
    code = _number(text(struct, 'FaultCode'), 0) or 0
    fault = Fault(code, text(struct, 'FaultString')) if code else None
    return m.TransferComplete(text(content, 'CommandKey'), fault, local(content).startswith('Autonomous'))


_DECODERS: dict[str, Callable[[etree._Element, list[str]], m.FromCpe]] = {
    'Inform': _inform,
    'GetParameterValuesResponse': _get_values,
    'GetParameterNamesResponse': _get_names,
    'GetParameterAttributesResponse': _get_attributes,
    'GetRPCMethodsResponse': _rpc_methods,
    'TransferComplete': _transfer_complete,
    'AutonomousTransferComplete': _transfer_complete,
    'RequestDownload': lambda content, _: m.RequestDownload(text(content, 'FileType')),
    'GetRPCMethods': lambda _content, _: m.GetRPCMethods(),
}
