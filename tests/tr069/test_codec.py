"""The SOAP codec: what CPEs send is understood, what is unsafe is refused, and nothing crashes."""

from __future__ import annotations

import contextlib
import gzip
import os
import tempfile
import threading
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tr069.envelopes import BROKEN, INFORM, envelope
from tr069.cwmp import encode
from tr069.cwmp import messages as m
from tr069.cwmp.decode import decode
from tr069.cwmp.faults import Advice, Fault, SetFault, advise, guilty_path
from tr069.cwmp.xml import MAX_BODY, decompress, parse
from tr069.errors import CwmpDecodeError, UnsafeXmlError


@pytest.mark.parametrize('name', BROKEN)
def test_a_broken_envelope_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(CwmpDecodeError) as refused:
        decode(BROKEN[name])
    assert str(refused.value)
    assert 8000 <= refused.value.fault_code <= 8006


def test_nothing_of_a_file_ever_shows() -> None:
    for name in ('xxe', 'xxe in utf-16'):
        with pytest.raises(UnsafeXmlError) as refused:
            decode(BROKEN[name])
        assert 'root:' not in str(refused.value)


WIDE = ('utf-8', 'utf-16-le', 'utf-16-be', 'utf-32-le', 'utf-32-be', 'utf-16', 'utf-32')


@pytest.mark.parametrize('recover', [False, True])
@pytest.mark.parametrize('header', ['', 'utf-8', 'utf-16', 'utf-16le', 'utf-16be', 'utf-32', 'iso-8859-1'])
def test_no_file_is_opened_in_whatever_charset_it_is_asked(tmp_path: Path, header: str, recover: bool) -> None:
    """A pipe that nobody writes to, as `/dev/ptmx`, never lets go of who opens it: the ACS would be gone."""
    os.mkfifo(tmp_path / 'pipe')
    doctype = f'<!DOCTYPE x SYSTEM "file://{tmp_path}/pipe">'
    heads = ('', *(f'<?xml version="1.0" encoding="{charset}"?>' for charset in ('utf-8', 'utf-16', 'utf-32')))
    texts = [head + doctype + envelope() for head in heads]
    refused: list[str] = []

    def parse_all() -> None:
        for text in texts:
            for charset in WIDE:
                with pytest.raises(CwmpDecodeError) as error:
                    decode(text.encode(charset), header, recover=recover)
                refused.append(str(error.value))

    thread = threading.Thread(target=parse_all, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), 'the parser has opened the pipe, and waits for ever'
    assert len(refused) == len(texts) * len(WIDE)


def test_a_parser_without_the_check_opens_nothing_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were markup ever overlooked: no DTD is loaded, no entity resolved, and a doctype is seen after parsing."""
    monkeypatch.setattr('tr069.cwmp.xml._FORBIDDEN_MARKUP', ())
    with tempfile.NamedTemporaryFile('w', suffix='.dtd') as file:
        file.write('<!ENTITY e "secret of a file">')
        file.flush()
        for head in (
            f'<!DOCTYPE x SYSTEM "file://{file.name}">',
            f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{file.name}">]>',
            f'<!DOCTYPE x [<!ENTITY % p SYSTEM "file://{file.name}"> %p;]>',
            '<!DOCTYPE x>',
        ):
            with pytest.raises(UnsafeXmlError) as refused:
                parse((head + envelope().replace('S1', '&e;' if 'ENTITY' in head else 'S1')).encode())
            assert 'secret' not in str(refused.value)


def test_a_body_over_the_limit_is_not_parsed() -> None:
    with pytest.raises(UnsafeXmlError, match='over the limit'):
        parse(b'<a>' + b' ' * MAX_BODY + b'</a>')


@pytest.mark.parametrize('encoding', ['gzip', 'deflate'])
def test_a_bomb_is_not_unpacked(encoding: str) -> None:
    data = b'\0' * 50_000_000
    packed = gzip.compress(data) if encoding == 'gzip' else zlib.compress(data)
    with pytest.raises(UnsafeXmlError, match='unpacks to more'):
        decompress(packed, encoding)


def test_packed_bodies_are_unpacked_and_cut_ones_are_not() -> None:
    assert decompress(gzip.compress(b'abc'), 'gzip') == b'abc'
    assert decompress(zlib.compress(b'abc'), 'deflate') == b'abc'
    raw = zlib.compressobj(wbits=-15)
    assert decompress(raw.compress(b'abc') + raw.flush(), 'deflate') == b'abc'
    for body in (gzip.compress(b'abc' * 100)[:-9], b'not packed'):
        with pytest.raises(UnsafeXmlError):
            decompress(body, 'gzip')


# --- Informs ----------------------------------------------------------------------------------------------------------


def inform_of(text: str, charset: str = '', **options: bool) -> m.Inform:
    message = decode(text.encode(charset or 'utf-8'), charset, **options).message
    assert isinstance(message, m.Inform)
    return message


def test_an_inform_is_understood() -> None:
    envelope_ = decode(envelope().encode())
    assert envelope_.id == '7'
    assert envelope_.namespace == 'urn:dslforum-org:cwmp-1-0'
    inform = envelope_.message
    assert isinstance(inform, m.Inform)
    assert inform.device.key == '00AA11-Router-S1'
    assert inform.events == (m.Event('2 PERIODIC'),)
    assert inform.parameters == m.Parameters.of([m.ParameterValue('Device.DeviceInfo.SoftwareVersion', '1')])
    assert envelope_.warnings == ()


@pytest.mark.parametrize('version', ['0', '1', '2', '3', '4', '10'])
def test_every_cwmp_1_is_answered_in_kind(version: str) -> None:
    namespace = f'urn:dslforum-org:cwmp-1-{version}'
    assert decode(envelope(cwmp=namespace).encode()).namespace == namespace


def test_quirks_are_tolerated_with_a_warning() -> None:
    bare = INFORM.replace(' xsi:type="xsd:string"', '').replace('<RetryCount>0</RetryCount>', '')
    bare = bare[: bare.index('<Event>')] + bare[bare.index('</Event>') + 8 :]
    found = decode(envelope(bare, header='').encode())
    assert found.id == ''
    assert set(found.warnings) == {'1 values without xsi:type', 'no Event', 'no RetryCount'}
    old = envelope().replace('http://www.w3.org/2001/XMLSchema-instance', 'http://www.w3.org/1999/XMLSchema-instance')
    assert inform_of(old).parameters.types[0] == 'xsd:string'
    prefixed = envelope().replace('<Name>', '<cwmp:Name>').replace('</Name>', '</cwmp:Name>')
    assert inform_of(prefixed).parameters.names[0] == 'Device.DeviceInfo.SoftwareVersion'


@pytest.mark.parametrize('charset', ['iso-8859-1', 'windows-1252', 'utf-16'])
def test_legacy_charsets_are_read_header_first(charset: str) -> None:
    text = f'<?xml version="1.0" encoding="{charset}"?>' + envelope().replace('Acme', 'Açaí')
    assert inform_of(text, charset).device.manufacturer == 'Açaí'
    lying = '<?xml version="1.0" encoding="utf-8"?>' + envelope().replace('Acme', 'Açaí')
    assert decode(lying.encode('iso-8859-1'), 'iso-8859-1').message.device.manufacturer == 'Açaí'  # type: ignore[union-attr]
    declared = f'<?xml version="1.0" encoding="{charset}"?>' + envelope().replace('Acme', 'Açaí')
    assert decode(declared.encode(charset)).message.device.manufacturer == 'Açaí'  # type: ignore[union-attr]


def test_a_recovering_parser_is_only_used_when_asked_for() -> None:
    assert decode(BROKEN['control character'], recover=True).message.device.manufacturer == 'Acme'  # type: ignore[union-attr]
    with pytest.raises(UnsafeXmlError):
        decode(BROKEN['xxe'], recover=True)


def test_ids_of_devices_cannot_be_confused() -> None:
    one = m.DeviceId('', 'A', 'B-C', 'D').key
    two = m.DeviceId('', 'A', 'B', 'C-D').key
    assert one != two
    assert one == 'A-B%2DC-D'
    assert m.DeviceId('', '00AA11', '', 'S 1/ü').key == '00AA11-S%201%2F%C3%BC'


# --- the rest of what CPEs say ------------------------------------------------------------------------------------


def test_faults_are_read_with_their_details() -> None:
    body = (
        '<s:Fault><faultcode>Client</faultcode><faultstring>CWMP fault</faultstring><detail><cwmp:Fault>'
        '<FaultCode>9003</FaultCode><FaultString>Invalid arguments</FaultString><SetParameterValuesFault>'
        '<ParameterName>A.B</ParameterName><FaultCode>9007</FaultCode><FaultString>no</FaultString>'
        '</SetParameterValuesFault></cwmp:Fault></detail></s:Fault>'
    )
    found = decode(envelope(body).encode()).message
    assert found == Fault(9003, 'Invalid arguments', (SetFault('A.B', 9007, 'no'),))
    bare = decode(envelope('<s:Fault><faultstring>oops</faultstring></s:Fault>').encode()).message
    assert bare == Fault(9002, 'oops')


@pytest.mark.parametrize(
    ('fault', 'advice', 'path'),
    [
        (Fault(9000), Advice.STOP_LEVER, ''),
        (Fault(9001), Advice.STOP_LEVER, ''),
        (Fault(9002), Advice.RETRY, ''),
        (Fault(9004), Advice.RETRY, ''),
        (Fault(9005), Advice.QUARANTINE_MODEL, ''),
        (Fault(9006), Advice.QUARANTINE_MODEL, ''),
        (Fault(9008), Advice.QUARANTINE_MODEL, ''),
        (Fault(9003), Advice.FIX_VALUES, ''),
        (Fault(9007), Advice.FIX_VALUES, ''),
        (Fault(9010), Advice.REPORT, ''),
        (Fault(9003, '', (SetFault('A', 9007), SetFault('B', 9005))), Advice.QUARANTINE_MODEL, 'B'),
        (Fault(9003, '', (SetFault('A', 9007),)), Advice.FIX_VALUES, 'A'),
    ],
)
def test_every_fault_has_its_answer(fault: Fault, advice: Advice, path: str) -> None:
    assert advise(fault) is advice
    assert guilty_path(fault) == path


def test_the_other_answers_are_read() -> None:
    def read(body: str) -> m.FromCpe:
        return decode(envelope(body).encode()).message

    assert read('<cwmp:SetParameterValuesResponse><Status>1</Status></cwmp:SetParameterValuesResponse>') == (
        m.StatusResponse('SetParameterValuesResponse', 1)
    )
    assert read('<cwmp:SetParameterValuesResponse/>') == m.StatusResponse('SetParameterValuesResponse')
    assert read(
        '<cwmp:AddObjectResponse><InstanceNumber>3</InstanceNumber><Status>0</Status></cwmp:AddObjectResponse>'
    ) == m.StatusResponse('AddObjectResponse', 0, 3)
    assert read('<cwmp:TransferComplete><CommandKey>k</CommandKey></cwmp:TransferComplete>') == m.TransferComplete('k')
    failed = (
        '<cwmp:TransferComplete><CommandKey>k</CommandKey><FaultStruct><FaultCode>9010</FaultCode>'
        '<FaultString>x</FaultString></FaultStruct></cwmp:TransferComplete>'
    )
    assert read(failed) == m.TransferComplete('k', Fault(9010, 'x'))
    assert read('<cwmp:GetRPCMethods/>') == m.GetRPCMethods()
    assert read('<cwmp:Kicked/>') == m.UnknownRequest('Kicked')
    attributes = (
        '<cwmp:GetParameterAttributesResponse><ParameterList><ParameterAttributeStruct><Name>A</Name>'
        '<Notification>2</Notification><AccessList><string>Subscriber</string></AccessList>'
        '</ParameterAttributeStruct></ParameterList></cwmp:GetParameterAttributesResponse>'
    )
    assert read(attributes) == m.GetParameterAttributesResponse((m.ParameterAttribute('A', 2, ('Subscriber',)),))


# --- what we send -----------------------------------------------------------------------------------------------------

NASTY = '</Value><Name>x</Name>&lt;"\'\r\n\t]]> ç 💡'


def test_values_cannot_break_out_of_their_element() -> None:
    request = m.SetParameterValues((m.ParameterValue('Device.A', NASTY + '\x00\x0b'),), NASTY)
    root = parse(encode.envelope(encode.request(request), 'urn:dslforum-org:cwmp-1-2', NASTY))
    assert root.findtext('.//{*}ID') == NASTY
    assert root.findtext('.//Value') == NASTY
    assert root.findtext('.//ParameterKey') == NASTY
    assert len(root.findall('.//ParameterValueStruct')) == 1


@pytest.mark.parametrize(
    'theirs',
    [
        m.Prefixes('SOAP-ENV', 'SOAP-ENC', 'xsd', 'xsi', 'cwmp'),
        m.Prefixes('cwmp', 'soap', 'xsi', 'xsd', 'enc'),  # ours, each for another's namespace
        m.Prefixes('s', 'e', 'd', 'i', 'c'),
    ],
)
def test_an_answer_is_spelt_as_the_cpe_spells(theirs: m.Prefixes) -> None:
    own = encode.envelope(encode.INFORM_RESPONSE, 'urn:dslforum-org:cwmp-1-0', '1', prefixes=theirs).decode()
    assert f'<{theirs.soap}:Body><{theirs.cwmp}:InformResponse>' in own
    value = f'{NASTY} cwmp:x soap:y="1" enc:arrayType="xsd:z" <cwmp:q>'
    request = m.SetParameterValues((m.ParameterValue('Device.A', value, 'xsd:string'),), value)
    sent = encode.envelope(encode.request(request), 'urn:dslforum-org:cwmp-1-2', 'i', prefixes=theirs)
    root = parse(sent)
    assert root.tag == '{http://schemas.xmlsoap.org/soap/envelope/}Envelope'
    assert root.findtext('.//Value') == value
    assert root.findtext('.//ParameterKey') == value
    found = root.find('.//Value')
    assert found is not None
    assert found.attrib == {'{http://www.w3.org/2001/XMLSchema-instance}type': f'{theirs.xsd}:string'}
    parameters = root.find('.//ParameterList')
    assert parameters is not None
    kind = '{http://schemas.xmlsoap.org/soap/encoding/}arrayType'
    assert parameters.attrib == {kind: f'{theirs.cwmp}:ParameterValueStruct[1]'}
    assert root.find('.//{urn:dslforum-org:cwmp-1-2}SetParameterValues') is not None
    fault = parse(encode.envelope(encode.fault(8001, 'no'), 'urn:dslforum-org:cwmp-1-0', '1', prefixes=theirs))
    assert fault.find('.//{http://schemas.xmlsoap.org/soap/envelope/}Fault') is not None
    assert fault.findtext('.//{urn:dslforum-org:cwmp-1-0}Fault/FaultCode') == '8001'


def test_the_prefixes_of_an_envelope_are_known_unless_two_would_be_the_same() -> None:
    assert decode(envelope().encode()).prefixes == m.Prefixes('s', 'enc', 'xsd', 'xsi', 'cwmp')
    odd = envelope().replace('xmlns:s=', 'xmlns:enc=').replace('<s:', '<enc:').replace('</s:', '</enc:')
    assert decode(odd.encode()).prefixes == m.PREFIXES
    bare = envelope().replace('xmlns:s=', 'xmlns=').replace('<s:', '<').replace('</s:', '</')
    assert decode(bare.replace('<Inform', '<cwmp:Inform').encode()).prefixes.soap == 'soap'


@pytest.mark.parametrize('declared', ['xsd:', 'xsd:Int', 'Int', '', 'xsd:no such', 'xsd:STRING'])
def test_a_type_that_is_none_is_no_type(declared: str) -> None:
    text = envelope().replace('xsd:string', declared)
    assert inform_of(text).parameters.types[0] == ''
    assert decode(text.encode()).warnings == ('1 values without xsi:type',)


def test_a_parameter_without_a_value_is_not_read() -> None:
    text = envelope().replace('<Value xsi:type="xsd:string">1</Value>', '')
    found = decode(text.encode())
    assert isinstance(found.message, m.Inform)
    assert found.message.parameters.names == ()
    assert found.warnings == ('1 parameters without a name or a value',)


def test_a_name_twice_in_one_set_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match='more than once'):
        m.SetParameterValues((m.ParameterValue('A', '1'), m.ParameterValue('A', '2')))


@pytest.mark.parametrize(
    'request_',
    [
        m.GetParameterValues(('A.', 'B')),
        m.GetParameterNames('A.', next_level=False),
        m.SetParameterValues((m.ParameterValue('A', '1', 'xsd:int'),), 'k'),
        m.GetParameterAttributes(('A',)),
        m.SetParameterAttributes((m.ParameterAttribute('A', 2, ('Subscriber',)),)),
        m.AddObject('A.'),
        m.DeleteObject('A.1.'),
        m.Reboot('k'),
        m.FactoryReset(),
        m.Download('http://x/y?a=1&b=2', delay_s=5),
        m.ScheduleInform(30, 'k'),
        m.GetRPCMethods(),
    ],
    ids=lambda request: type(request).__name__,
)
def test_every_request_is_well_formed(request_: m.Request) -> None:
    root = parse(encode.envelope(encode.request(request_), 'urn:dslforum-org:cwmp-1-0', '1'))
    assert root.find('.//{urn:dslforum-org:cwmp-1-0}' + type(request_).__name__) is not None


def test_the_declaration_can_be_left_out() -> None:
    assert encode.envelope('', 'urn:dslforum-org:cwmp-1-0').startswith(b'<?xml')
    assert encode.envelope('', 'urn:dslforum-org:cwmp-1-0', declaration=False).startswith(b'<soap:Envelope')


# --- fuzz -------------------------------------------------------------------------------------------------------------


def survives(body: bytes, charset: str = '', *, recover: bool = False) -> None:
    with contextlib.suppress(CwmpDecodeError):
        decode(body, charset, recover=recover)


@given(st.binary(max_size=2000))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_refused_politely(body: bytes) -> None:
    survives(body)


@given(st.integers(0, 1200), st.integers(0, 30), st.binary(max_size=30), st.booleans())
@settings(max_examples=400, deadline=None)
def test_a_mangled_inform_is_understood_or_refused(position: int, cut: int, junk: bytes, recover: bool) -> None:
    text = envelope().encode()
    survives(text[:position] + junk + text[position + cut :], recover=recover)


@given(st.text(max_size=200), st.sampled_from(['utf-8', 'utf-16', 'iso-8859-1', 'no-such', '']))
@settings(max_examples=200, deadline=None)
def test_any_text_as_a_body_and_any_charset_survive(text: str, charset: str) -> None:
    survives(envelope(text).encode('utf-8', 'surrogatepass'), charset)


_names = st.from_regex(r'[A-Za-z][A-Za-z0-9_.]{0,40}', fullmatch=True)
_texts = st.text(st.characters(exclude_categories=('Cs', 'Cc')), max_size=60)


@given(st.lists(st.tuples(_names, _texts), min_size=1, max_size=8, unique_by=lambda pair: pair[0]))
@settings(max_examples=150, deadline=None)
def test_whatever_is_set_comes_out_of_a_parser_as_it_went_in(pairs: list[tuple[str, str]]) -> None:
    values = tuple(m.ParameterValue(name, value) for name, value in pairs)
    root = parse(encode.envelope(encode.request(m.SetParameterValues(values)), 'urn:dslforum-org:cwmp-1-0'))
    structs = root.findall('.//ParameterValueStruct')
    assert [(item.findtext('Name'), item.findtext('Value') or '') for item in structs] == pairs
