"""A corpus of envelopes no ACS should have to see, and what is wrong with each."""

from __future__ import annotations

SOAP = 'http://schemas.xmlsoap.org/soap/envelope/'
CWMP = 'urn:dslforum-org:cwmp-1-0'
INFORM = (
    '<cwmp:Inform><DeviceId><Manufacturer>Acme</Manufacturer><OUI>00AA11</OUI><ProductClass>Router</ProductClass>'
    '<SerialNumber>S1</SerialNumber></DeviceId><Event><EventStruct><EventCode>2 PERIODIC</EventCode><CommandKey/>'
    '</EventStruct></Event><MaxEnvelopes>1</MaxEnvelopes><RetryCount>0</RetryCount><ParameterList>'
    '<ParameterValueStruct><Name>Device.DeviceInfo.SoftwareVersion</Name><Value xsi:type="xsd:string">1</Value>'
    '</ParameterValueStruct></ParameterList></cwmp:Inform>'
)


def envelope(body: str = INFORM, *, soap: str = SOAP, cwmp: str = CWMP, header: str = '<cwmp:ID>7</cwmp:ID>') -> str:
    return (
        f'<s:Envelope xmlns:s="{soap}" xmlns:cwmp="{cwmp}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        f' xmlns:xsd="http://www.w3.org/2001/XMLSchema"><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>'
    )


_LAUGHS = ''.join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))

# A device file that blocks whoever opens it: a parser that does would never come back.
PTMX = '<!DOCTYPE x SYSTEM "file:///dev/ptmx">' + envelope()
_WIDE = ('utf-16-le', 'utf-16-be', 'utf-32-le', 'utf-32-be', 'utf-16', 'utf-32')  # the last two with a mark
_DECLARED = '<?xml version="1.0" encoding="{}"?>'

BROKEN: dict[str, bytes] = {
    'not xml': b'hello',
    'binary': bytes(range(256)),
    'half an element': b'<s:Envelope',
    'cut short': envelope().encode()[:-40],
    'two roots': envelope().encode() + b'<x/>',
    'undeclared prefix': b'<s:Envelope><s:Body/></s:Envelope>',
    'no body': f'<s:Envelope xmlns:s="{SOAP}"><s:Header/></s:Envelope>'.encode(),
    'empty body': envelope('').encode(),
    'not an envelope': b'<html><body>captive portal</body></html>',
    'xxe': b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + envelope().replace('S1', '&e;').encode(),
    'parameter entity': b'<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]>' + envelope().encode(),
    'external dtd': b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">' + envelope().encode(),
    'billion laughs': f'<!DOCTYPE x [<!ENTITY l0 "ha">{_LAUGHS}]>'.encode() + envelope().replace('S1', '&l9;').encode(),
    'xxe in utf-16': ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + envelope()).encode('utf-16'),
    'undefined entity': envelope().replace('S1', '&nothing;').encode(),
    'deep nesting': b'<a>' * 100_000 + b'</a>' * 100_000,
    'deep in an envelope': envelope('<cwmp:Inform>' + '<x>' * 5000 + '</x>' * 5000 + '</cwmp:Inform>').encode(),
    'soap 1.2': envelope(soap='http://www.w3.org/2003/05/soap-envelope').encode(),
    'cwmp 2': envelope(cwmp='urn:dslforum-org:cwmp-2-0').encode(),
    'another namespace': envelope(cwmp='urn:example:other').encode(),
    'namespace with a tail': envelope(cwmp=CWMP + '0-and-more').encode(),
    'no device id': envelope('<cwmp:Inform><Event/></cwmp:Inform>').encode(),
    'no serial': envelope(INFORM.replace('<SerialNumber>S1</SerialNumber>', '')).encode(),
    'a serial of a mile': envelope(INFORM.replace('S1', 'S' * 5000)).encode(),
    'an id of a mile': envelope(header=f'<cwmp:ID>{"9" * 5000}</cwmp:ID>').encode(),
    'wrong charset': ('<?xml version="1.0" encoding="utf-8"?>' + envelope().replace('Acme', 'Açme')).encode('latin-1'),
    'unknown charset': b'<?xml version="1.0" encoding="klingon"?>' + envelope().encode(),
    'control character': envelope().replace('Acme', 'Ac\x01me').encode(),
    'a response to nothing': envelope('<cwmp:BogusResponse/>').encode(),
    'a zero': envelope().replace('Acme', 'Ac\0me').encode(),
    'a zero behind the end': envelope().encode() + b'\0',
    **{f'a device to open, in {charset}': PTMX.encode(charset) for charset in ('utf-8', *_WIDE)},
    **{f'a device to open, declared and in {c}': (_DECLARED.format(c[:6]) + PTMX).encode(c) for c in _WIDE},
    **{f'a device to open, declared as utf-8 and in {c}': (_DECLARED.format('utf-8') + PTMX).encode(c) for c in _WIDE},
    **{f'undetected {charset}': envelope().encode(charset) for charset in _WIDE[:4]},
    'utf-32 with a mark': envelope().encode('utf-32'),
}
