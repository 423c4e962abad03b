"""How an ACS is reached from a point: address, token, trust; and what is said where that is wrong."""

import json

import pytest

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, CpeValue, Outcome, ValueSet
from nornir_tasks.connections.acs import AcsConnection, AcsParameters, is_in_the_clear, url_of
from nornir_tasks.cpes import list_cpes, refresh_cpe
from nornir_tasks.engine.journal import MemoryJournal
from nornir_tasks.engine.tasks import PointWork
from nornir_tasks.errors import ConfigurationError, CredentialMissingError, EnforcementError
from nornir_tasks.point_check import check_point
from nornir_tasks.points import Point
from tests.simulators.acs import ENVIRONMENT, embedded_acs, genie_acs
from tests.simulators.cpe import Cpe
from tests.simulators.cpe_trees import INTERNET_098
from tests.simulators.memory import MemoryPoint

UP = f'{INTERNET_098}.ShapingRate'


@pytest.fixture(autouse=True)
def _credential(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=['acs_embedded', 'genieacs'])
def world(request, tmp_path):
    opened = embedded_acs(f'sqlite:///{tmp_path / "acs.sqlite3"}') if request.param == 'acs_embedded' else genie_acs()
    with opened as world:
        yield world


def opened(point):
    connection = AcsConnection()
    connection.open(point.name, extras={'point': point})
    return connection


@pytest.mark.parametrize(
    ('address', 'port', 'url', 'expected'),
    [
        ('acs.example', None, '', 'https://acs.example:7557'), ('2001:db8::1', 8443, '', 'https://[2001:db8::1]:8443'),
        ('192.0.2.1', 1, 'http://127.0.0.1:7557', 'http://127.0.0.1:7557'),
    ],
)  # fmt: skip
def test_the_address_is_the_points_by_tls_unless_a_url_is_given(address, port, url, expected):
    point = Point('acs', 'acs_embedded', address, port)
    assert url_of(point, AcsParameters(url=url)) == expected


def test_a_token_in_the_clear_is_told_from_one_that_never_leaves_the_host():
    assert is_in_the_clear('http://acs.example:7557')
    assert not any(map(is_in_the_clear, ('https://acs.example', 'http://127.0.0.1:7557', 'http://[::1]:7557')))


def test_what_is_wrong_with_a_point_is_said_before_anything_is_contacted(monkeypatch, tmp_path):
    here = {'address': '127.0.0.1', 'credential': 'the-acs'}
    with pytest.raises(ConfigurationError, match='is no driver of an ACS'):
        opened(Point('p', 'routeros', **here))
    with pytest.raises(ConfigurationError, match='parameters are wrong: url'):
        opened(Point('p', 'acs_embedded', **here, parameters={'url': 'acs.example'}))
    with pytest.raises(ConfigurationError, match='CA file'):
        opened(Point('p', 'acs_embedded', **here, parameters={'ca_file': 'none.pem'}))
    monkeypatch.setenv('DELINQUENCY_PROFILES_DIR', str(tmp_path))
    (tmp_path / 'own').mkdir()
    (tmp_path / 'own' / 'bad.yaml').write_text('name: [')
    with pytest.raises(ConfigurationError, match='device profile'):
        opened(Point('p', 'genieacs', **here, parameters={'profiles_directory': 'own'}))
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_THE_ACS', json.dumps({'username': 'x'}))
    with pytest.raises(CredentialMissingError, match='northbound token'):
        opened(Point('p', 'acs_embedded', **here))


def test_a_check_tells_of_an_empty_acs_and_of_models_in_quarantine(world, monkeypatch):
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    found = {finding.subject: finding for finding in check_point(world.point(), now)}
    assert (found['reachability'].ok, found['devices'].ok, found['devices'].required) == (True, False, False)
    cpe = world.add('A')
    cpe.faults['SetParameterValues'] = [Cpe.parameter_fault(UP, 9005)] * 6
    point = world.point()
    work = PointWork(lambda: _driver(point), 100, MemoryJournal())
    work.run([AccessChange('1', AccessTarget('1', cwmp_id=cpe.id), AccessState.throttled(256, 128))])
    found = {finding.subject: finding for finding in check_point(world.point(), now)}
    assert found['devices'].ok
    assert UP in found['model 00AA11/Router/S1'].message
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_THE_ACS', '{"secret": "wrong"}')
    (finding,) = check_point(world.point(), now)
    assert (finding.subject, finding.ok) == ('login', False)
    (finding,) = check_point(world.point(url='http://127.0.0.1:9'), now)
    assert (finding.subject, finding.ok) == ('reachability', False)


def _driver(point):
    from nornir_tasks.drivers import get_driver

    return get_driver(point.driver)(opened(point).connection, point.parameters)


def test_devices_are_listed_and_one_is_looked_at(world):
    cpe = world.add('S-1')
    world.add('S-2')
    assert {item.serial for item in list_cpes(world.point())} == {'S-1', 'S-2'}
    report = refresh_cpe(world.point(), cpe.id)
    assert (report.info.manufacturer, report.info.software_version, report.state) == ('Acme', 'S1', 'none')
    assert any(lever['chosen'] and lever['path'] == UP for lever in report.levers)
    assert json.loads(json.dumps(report.as_dict()))['info']['last_inform']
    with pytest.raises(EnforcementError, match='does not know the device'):
        refresh_cpe(world.point(), '00AA11-Router-NOBODY')
    world.unplug(cpe)
    if world.driver == 'acs_embedded':
        assert refresh_cpe(world.point(), cpe.id).levers == report.levers  # as remembered
    with pytest.raises(ConfigurationError, match='is no ACS'):
        list_cpes(Point('bras', 'radius_coa', '127.0.0.1', credential='the-acs'))


def test_a_point_that_is_no_acs_gets_no_values_of_a_cpe():
    point = MemoryPoint()
    point.add('ana')
    value = CpeValue('Device.X', '1')
    work = PointWork(point.driver, 10, MemoryJournal())
    work.run([AccessChange('1', AccessTarget('1', username='ana', values=(value,)), ValueSet((value,)))])
    (result,) = work.results
    assert (result.outcome, 'sets no parameters' in result.message) == (Outcome.FAILED, True)
    assert point.sent == []
