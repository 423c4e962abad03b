"""The drivers of ACSs through Nornir and the engine, against real ACSs whose CPEs are asked for the truth."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, CpeValue, Outcome, ValueSet
from nornir_tasks.drivers.acs.embedded import EmbeddedAcsDriver
from nornir_tasks.engine.journal import MemoryJournal
from nornir_tasks.point_check import check_point
from nornir_tasks.run import read_all, run_changes
from tests.simulators.acs import ENVIRONMENT, embedded_acs, genie_acs
from tests.simulators.cpe import Cpe, Manners
from tests.simulators.cpe_trees import IGD, INTERNET_098
from tr069.client import ValueProfile
from tr069.cwmp.messages import ParameterValue
from tr069.genieacs import GenieAcsClient

NORMAL, BLOCKED, SLOW = AccessState.normal(), AccessState.blocked(), AccessState.throttled(256, 128)
UP, DOWN = f'{INTERNET_098}.ShapingRate', f'{IGD}.QueueManagement.Queue.2.ShapingRate'
NTP, SSID = f'{IGD}.Time.NTPServer1', f'{IGD}.LANDevice.1.WLANConfiguration.1.SSID'
APPLIED, NOOP, OFFLINE, FAILED = Outcome.APPLIED, Outcome.NOOP, Outcome.OFFLINE, Outcome.FAILED


@pytest.fixture(autouse=True)
def _credential(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    # How long GenieACS caches presets; the simulated one does not.
    monkeypatch.setitem(GenieAcsClient.__init__.__kwdefaults__, 'preset_delay_s', 0)


@pytest.fixture(params=['acs_embedded', 'genieacs'])
def world(request, tmp_path):
    opened = embedded_acs(f'sqlite:///{tmp_path / "acs.sqlite3"}') if request.param == 'acs_embedded' else genie_acs()
    with opened as world:
        yield world


@pytest.fixture
def acs(tmp_path):
    with embedded_acs(f'sqlite:///{tmp_path / "acs.sqlite3"}') as world:
        yield world


def target(cpe, **fields):
    device = cpe.id if isinstance(cpe, Cpe) else cpe
    return AccessTarget(f'line {device}', cwmp_id=device, down_kbps=100_000, up_kbps=50_000, **fields)


def run(world, *changes, **parameters):
    """Outcome and message by change key; a Nornir and a connection of its own, as every run has."""
    point = world.point(**parameters)
    results = run_changes([point], {point.name: changes}, MemoryJournal(), parallel=1)
    return {result.key: result for result in results}


def enforce(world, desired, *cpes, exact=None, **parameters):
    changes = [AccessChange(str(n), target(cpe), desired, exact=exact or {}) for n, cpe in enumerate(cpes)]
    results = run(world, *changes, **parameters)
    return [results[str(number)] for number in range(len(cpes))]


def outcomes(results):
    return [result.outcome for result in results]


def read(world, cpe, **fields):
    point = world.point()
    wanted = target(cpe, **fields)
    return read_all([point], {point.name: [wanted]}, parallel=1)[wanted.key]


def truth(cpe):
    plain = {'true': '1', 'false': '0'}
    return {path: plain.get(cpe.value(path), cpe.value(path)) for path in cpe.paths() if 'ManagementServer' not in path}


# Access


@pytest.mark.parametrize('model', ['tr098', 'tr181'])
def test_a_line_is_throttled_verified_and_restored_exactly(world, model):
    cpe, other = world.add('S-1', model=model), world.add('S-2', model=model)
    before, others = truth(cpe), truth(other)
    assert read(world, cpe).is_(NORMAL)

    (result,) = enforce(world, SLOW, cpe)
    assert (result.outcome, result.message) == (APPLIED, '')
    changed = {path: value for path, value in truth(cpe).items() if before[path] != value}
    rates = sorted(int(value) for path, value in changed.items() if path.endswith('ShapingRate'))
    assert rates == [128_000, 256_000]
    assert (result.after.stored, result.after.live) == (SLOW, SLOW)
    assert outcomes(enforce(world, SLOW, cpe)) == [NOOP]

    assert outcomes(enforce(world, NORMAL, cpe)) == [APPLIED]
    assert (truth(cpe), truth(other)) == (before, others)
    assert outcomes(enforce(world, NORMAL, cpe)) == [NOOP]


def test_upload_and_download_are_not_mixed_up(world):
    cpe = world.add('S1')
    enforce(world, SLOW, cpe)
    assert (cpe.value(UP), cpe.value(DOWN)) == ('128000', '256000')


def test_a_factory_reset_brings_the_restriction_back(world):
    cpe = world.add('S1')
    enforce(world, SLOW, cpe)
    cpe.factory_reset()
    assert cpe.value(UP) == '-1'
    world.comes(cpe)
    world.comes(cpe)
    assert cpe.value(UP) == '128000'
    assert outcomes(enforce(world, NORMAL, cpe)) == [APPLIED]
    assert cpe.value(UP) == '-1'


def test_a_more_and_a_less_restrictive_state_follow_each_other_and_the_first_values_come_back(world):
    cpe = world.add('S1')
    cpe.force(UP, '20000000')
    before = truth(cpe)
    assert outcomes(enforce(world, SLOW, cpe)) == [APPLIED]
    assert outcomes(enforce(world, BLOCKED, cpe, block_kbps=32)) == [APPLIED]
    assert (cpe.value(UP), cpe.value(DOWN)) == ('32000', '32000')
    assert outcomes(enforce(world, AccessState.throttled(1000, 512), cpe)) == [APPLIED]
    assert (cpe.value(UP), cpe.value(DOWN)) == ('512000', '1000000')
    assert outcomes(enforce(world, NORMAL, cpe)) == [APPLIED]
    assert truth(cpe) == before


def test_a_block_shapes_and_leads_to_the_notice_page_and_cuts_nothing(world):
    cpe = world.add('S1')
    before = truth(cpe)
    assert outcomes(enforce(world, BLOCKED, cpe, portal_url='http://pay.example/')) == [APPLIED]
    assert cpe.value(f'{IGD}.CaptivePortal.CaptivePortalURL') == 'http://pay.example/'
    assert truth(cpe)[f'{IGD}.CaptivePortal.Enable'] == '1'
    assert (cpe.value(UP), cpe.value(f'{INTERNET_098}.Enable')) == ('64000', '1')
    assert not cpe.is_cut
    assert outcomes(enforce(world, NORMAL, cpe)) == [APPLIED]
    assert truth(cpe) == before


def test_an_unreachable_device_is_stored_and_gets_it_when_it_comes(world):
    cpe = world.add('S1')
    assert outcomes(enforce(world, SLOW, cpe) + enforce(world, NORMAL, cpe)) == [APPLIED, APPLIED]
    world.unplug(cpe)
    # Its levers are known from the last time; nobody waits for it.
    (result,) = enforce(world, SLOW, cpe)
    assert (result.outcome, result.after.stored, result.after.live) == (OFFLINE, SLOW, None)
    assert cpe.value(UP) == '-1'
    world.comes(cpe)
    world.comes(cpe)
    assert cpe.value(UP) == '128000'


def test_a_payment_while_the_device_is_away_leaves_nothing_of_the_restriction(world):
    cpe = world.add('S1')
    before = truth(cpe)
    enforce(world, SLOW, cpe)
    enforce(world, NORMAL, cpe)
    world.unplug(cpe)
    assert outcomes(enforce(world, SLOW, cpe)) == [OFFLINE]
    assert enforce(world, NORMAL, cpe)[0].outcome in (APPLIED, OFFLINE)
    for _ in range(3):
        world.comes(cpe)
    assert truth(cpe) == before


def test_a_device_that_has_moved_to_another_acs_is_given_back_at_the_old_one(world):
    """It informs elsewhere by now: the old ACS is asked for no more than to put back what it holds, if it comes."""
    cpe = world.add('S1')
    before = truth(cpe)
    assert outcomes(enforce(world, AccessState.blocked(), cpe)) == [APPLIED]
    world.unplug(cpe)
    (result,) = enforce(world, NORMAL, cpe, levers_max_age_days=0, one_sided=False)
    assert result.outcome is OFFLINE
    assert result.after.stored == NORMAL
    assert result.after.live is None
    for _ in range(3):
        world.comes(cpe)
    assert truth(cpe) == before


def test_a_profile_of_ours_whose_note_cannot_be_read_is_put_back_all_the_same(world):
    cpe = world.add('S1')
    garbled = ValueProfile('netbox', 'r1', (ParameterValue(UP, '64000', 'xsd:int'),), note='{')
    with client_of(world) as session:
        session.run(lambda client: client.apply(garbled, [cpe.id]))
    world.comes(cpe)
    assert cpe.value(UP) == '64000'
    (result,) = enforce(world, SLOW, cpe)
    assert (result.outcome, 'cannot be read' in result.message) == (FAILED, True)
    assert outcomes(enforce(world, NORMAL, cpe)) == [APPLIED]
    assert cpe.value(UP) == '-1'


def test_a_device_that_the_acs_does_not_know_is_not_there(world):
    found = read(world, '00AA11-Router-GHOST')
    assert found.absent
    assert 'does not know the device' in found.error


def test_a_device_that_never_came_since_its_levers_are_wanted_is_an_error_that_says_so(world):
    cpe = world.add('S1', reachable=False)
    if world.driver == 'genieacs':  # it has a tree from its first Inform; let it be too old to go by
        result = enforce(world, SLOW, cpe, levers_max_age_days=0)[0]
    else:
        result = enforce(world, SLOW, cpe)[0]
    assert result.outcome is FAILED
    assert 'nothing was asked of the device' in result.message
    assert 'could not be read' in result.message
    for _ in range(2):
        world.comes(cpe)
    assert cpe.value(UP) == '-1'
    # It has been asked for its tree when it came: the next run finds it.
    assert outcomes(enforce(world, SLOW, cpe)) == [OFFLINE]


def test_what_a_device_cannot_do_is_refused_before_anything_is_sent(world):
    base = {path: node for path, node in Cpe('x').base.items() if not path.startswith(f'{IGD}.QueueManagement')}
    cpe = world.add('S1', base=base)
    (result,) = enforce(world, SLOW, cpe)
    assert (result.outcome, 'no lever limits download' in result.message) == (FAILED, True)
    assert cpe.sets == [] or all(UP not in item for item in cpe.sets)
    assert outcomes(enforce(world, SLOW, cpe, one_sided=True)) == [APPLIED]
    assert cpe.value(UP) == '128000'


def test_a_device_that_faults_is_failed_with_the_reason_and_stays_as_it_was(world):
    cpe = world.add('S1')
    enforce(world, SLOW, cpe)
    before = truth(cpe)
    cpe.faults['SetParameterValues'] = [Cpe.parameter_fault(UP, 9007)] * 6
    (result,) = enforce(world, AccessState.throttled(64, 64), cpe)
    assert result.outcome is FAILED
    assert '9003' in result.message or '9007' in result.message
    assert truth(cpe) == before
    cpe.faults.clear()
    assert outcomes(enforce(world, NORMAL, cpe)) == [APPLIED]
    assert cpe.value(UP) == '-1'


def test_a_wrong_path_quarantines_the_model_and_the_next_device_is_not_touched(world):
    first, second = world.add('A'), world.add('B')
    first.faults['SetParameterValues'] = [Cpe.parameter_fault(UP, 9005)] * 6
    (result,) = enforce(world, SLOW, first)
    assert (result.outcome, 'quarantined' in result.message, UP in result.message) == (FAILED, True, True)
    (result,) = enforce(world, SLOW, second)
    assert (result.outcome, 'quarantined' in result.message) == (FAILED, True)
    assert second.value(UP) == '-1'
    assert result.after.is_(NORMAL)


def test_unknown_twice_and_nameless_devices_change_nothing(world):
    cpe = world.add('S1')
    point = world.point()
    changes = [
        AccessChange('ghost', target('00AA11-Router-GHOST'), SLOW),
        AccessChange('none', AccessTarget('none'), SLOW),
        AccessChange('one', target(cpe), SLOW),
        AccessChange('two', AccessTarget('other line', cwmp_id=cpe.id), SLOW),
    ]
    results = {item.key: item for item in run_changes([point], {point.name: changes}, MemoryJournal(), parallel=1)}
    assert {key: result.outcome for key, result in results.items()} == dict.fromkeys(results, FAILED)
    assert 'does not know the device' in results['ghost'].message
    assert 'no CWMP id' in results['none'].message
    assert 'same device' in results['one'].message
    assert cpe.value(UP) == '-1'


def test_a_profile_of_somebody_else_is_left_alone(world):
    cpe = world.add('S1')
    other = ValueProfile('theirs', 'r1', (ParameterValue(UP, '5000000', 'xsd:int'),))
    with client_of(world) as session:
        session.run(lambda client: client.apply(other, [cpe.id]))
    world.comes(cpe)
    (result,) = enforce(world, SLOW, cpe)
    assert (result.outcome, 'somebody else' in result.message) == (FAILED, True)
    assert cpe.value(UP) == '5000000'
    found = read(world, cpe)
    assert found.foreign == ('profile "theirs" at the ACS',)
    assert found.is_(NORMAL)  # our own part: nothing is owed back from here
    assert not found.is_baseline
    assert outcomes(enforce(world, NORMAL, cpe)) == [NOOP]
    assert cpe.value(UP) == '5000000'


def client_of(world):
    from contextlib import closing

    from nornir_tasks.connections.acs import AcsConnection

    connection = AcsConnection()
    connection.open('acs-1', extras={'point': world.point()})
    return closing(connection.connection)


def test_many_devices_are_one_profile_and_no_task(world):
    cpes = [world.add(f'M{number}') for number in range(12)]
    assert outcomes(enforce(world, SLOW, *cpes)) == [APPLIED] * 12
    assert {cpe.value(UP) for cpe in cpes} == {'128000'}
    if world.driver == 'genieacs':
        assert sum(name.startswith('tr069_on_') for name in world.server.presets) == 1
        assert not any('setParameterValues' in str(task) for task in world.server.tasks.values())
    assert outcomes(enforce(world, NORMAL, *cpes)) == [APPLIED] * 12
    assert {cpe.value(UP) for cpe in cpes} == {'-1'}


def test_an_acs_that_is_not_there_fails_its_rows_and_says_so(world):
    cpe = world.add('S1')
    (result,) = enforce(world, SLOW, cpe, url='http://127.0.0.1:9')
    assert (result.outcome, 'did not answer' in result.message) == (FAILED, True)


def test_a_wrong_token_is_a_refused_login(world, monkeypatch):
    cpe = world.add('S1')
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_THE_ACS', '{"secret": "wrong"}')
    (result,) = enforce(world, SLOW, cpe)
    assert (result.outcome, 'refused' in result.message) == (FAILED, True)
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_THE_ACS', '{}')
    if world.driver == 'acs_embedded':
        assert 'no "secret"' in enforce(world, SLOW, cpe)[0].message


# Values of a profile run


def profile(cpe, *values, desired=None):
    values = tuple(CpeValue(*item) for item in values)
    wanted = ValueSet(values) if desired is None else desired
    return AccessChange(cpe.id, target(cpe, values=values), wanted)


def test_any_values_are_set_verified_and_put_back_exactly(world):
    cpes = [world.add(f'S{number}') for number in range(3)]
    for number, cpe in enumerate(cpes):
        cpe.force(SSID, f'Casa {number} & "Família"')
    before = [truth(cpe) for cpe in cpes]
    values = [(SSID, 'Nova <rede>', 'xsd:string'), (f'{IGD}.DeviceInfo.ProvisioningCode', 'A7', 'xsd:string')]
    results = run(world, *(profile(cpe, *values) for cpe in cpes))
    assert {result.outcome for result in results.values()} == {APPLIED}
    assert {cpe.value(SSID) for cpe in cpes} == {'Nova <rede>'}
    assert {r.outcome for r in run(world, *(profile(cpe, *values) for cpe in cpes)).values()} == {NOOP}
    back = run(world, *(profile(cpe, *values, desired=ValueSet()) for cpe in cpes))
    assert {result.outcome for result in back.values()} == {APPLIED}
    assert [truth(cpe) for cpe in cpes] == before


def test_a_profile_and_a_restriction_do_not_undo_each_other(world):
    cpe = world.add('S1')
    before = truth(cpe)
    change = profile(cpe, (SSID, 'Nova', 'xsd:string'))
    assert run(world, change)[cpe.id].outcome is APPLIED
    assert outcomes(enforce(world, SLOW, cpe)) == [APPLIED]
    assert (cpe.value(SSID), cpe.value(UP)) == ('Nova', '128000')
    assert run(world, profile(cpe, (SSID, 'Outra', 'xsd:string')))[cpe.id].outcome is APPLIED
    assert (cpe.value(SSID), cpe.value(UP)) == ('Outra', '128000')
    assert outcomes(enforce(world, NORMAL, cpe)) == [APPLIED]
    assert (cpe.value(SSID), cpe.value(UP)) == ('Outra', '-1')
    assert run(world, profile(cpe, (SSID, 'Outra', 'xsd:string'), desired=ValueSet()))[cpe.id].outcome is APPLIED
    assert truth(cpe) == before


def test_who_has_paid_does_not_wait_for_a_value_that_the_device_refuses(world):
    cpe = world.add('S1')
    before = truth(cpe)
    cpe.manners.refuses = (SSID,)
    enforce(world, SLOW, cpe)
    world.unplug(cpe)
    assert run(world, profile(cpe, (SSID, 'Nova', 'xsd:string')))[cpe.id].outcome is OFFLINE
    for _ in range(3):
        world.comes(cpe)
    assert cpe.value(UP) == '128000'
    (result,) = enforce(world, NORMAL, cpe)
    assert result.outcome in (APPLIED, OFFLINE)
    assert f'no longer kept, since the ACS gave up on it: {SSID}' in result.message
    for _ in range(3):
        world.comes(cpe)
    assert truth(cpe) == before
    assert read(world, cpe).is_(NORMAL)


def test_a_limit_that_the_device_refuses_costs_no_mass_update(world):
    cpe = world.add('S1')
    assert run(world, profile(cpe, (SSID, 'Nova', 'xsd:string')))[cpe.id].outcome is APPLIED
    enforce(world, SLOW, cpe)
    enforce(world, NORMAL, cpe)
    world.unplug(cpe)
    assert outcomes(enforce(world, SLOW, cpe)) == [OFFLINE]
    cpe.manners.refuses = (UP,)
    for _ in range(3):
        world.comes(cpe)
    enforce(world, SLOW, cpe)  # once more, and in vain
    for _ in range(3):
        world.comes(cpe)
    assert (cpe.value(SSID), cpe.value(UP)) == ('Nova', '-1')


def test_a_value_that_holds_the_limit_is_not_changed_under_it(world):
    cpe = world.add('S1')
    enforce(world, SLOW, cpe)
    result = run(world, profile(cpe, (UP, '9000000', 'xsd:int')))[cpe.id]
    assert (result.outcome, "the line's present limit" in result.message) == (FAILED, True)
    assert cpe.value(UP) == '128000'


def test_a_value_that_could_cut_management_is_refused(world):
    cpe = world.add('S1')
    for value in (
        (f'{IGD}.ManagementServer.URL', 'http://elsewhere/', 'xsd:string'),
        (f'{INTERNET_098}.Enable', '0', 'xsd:boolean'),
        (f'{IGD}.Firewall.Config', 'High', 'xsd:string'),
        (UP, '64', 'xsd:int'),
    ):
        result = run(world, profile(cpe, value))[cpe.id]
        assert (result.outcome, 'refused' in result.message) == (FAILED, True), value
        assert result.after.live in (ValueSet(), None)
        assert read(world, cpe, values=(CpeValue(*value),)).observed == ValueSet()
    assert not cpe.is_cut
    assert truth(cpe)[f'{INTERNET_098}.Enable'] == '1'


def test_an_exact_return_puts_both_layers_back(world):
    cpe = world.add('S1')
    run(world, profile(cpe, (SSID, 'Nova', 'xsd:string')))
    first = enforce(world, SLOW, cpe)[0]
    earlier = first.before.detail
    assert outcomes(enforce(world, first.before.observed, cpe, exact=earlier)) == [APPLIED]
    assert (cpe.value(SSID), cpe.value(UP)) == ('Nova', '-1')
    assert read(world, cpe).detail == earlier


def test_a_value_set_is_told_from_one_in_another_order_by_nothing():
    one, two = CpeValue('A.B', '1', 'xsd:int'), CpeValue('A.A', 'x')
    assert ValueSet((one, two)) == ValueSet((two, one))
    assert ValueSet.from_dict(ValueSet((one, two)).as_dict()) == ValueSet((two, one))
    assert (str(ValueSet()), str(ValueSet((one,)))) == ('as it was', 'A.B=1')
    with pytest.raises(ValueError, match='once'):
        ValueSet((one, CpeValue('A.B', '2')))


# The WAN, by opt-in


def test_a_wan_is_cut_only_where_model_and_guard_allow_it(tmp_path):
    (tmp_path / 'profiles').mkdir()
    (tmp_path / 'profiles' / 'acme.yaml').write_text(
        'name: acme\nmatch: {manufacturer: Acme}\nguard: {allow_wan_off: true}\n'
    )
    with embedded_acs(f'sqlite:///{tmp_path / "acs.sqlite3"}', profiles_directory=str(tmp_path / 'profiles')) as world:
        two_wans, one_wan = world.add('A'), world.add('B', shared_wan=True, product_class='Other')
        for cpe in (two_wans, one_wan):
            root = 'InternetGatewayDevice.ManagementServer.ConnectionRequestURL'
            assert cpe.value(root).startswith('http://127.0.0.1')
        # Management is proven by an address of a WAN: these CPEs are called on loopback, so their WANs say that.
        two_wans.force(f'{IGD}.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.ExternalIPAddress', '127.0.0.1')
        one_wan.force(f'{INTERNET_098}.ExternalIPAddress', '127.0.0.1')
        for cpe in (two_wans, one_wan):  # the default connection is never touched, and here there is none
            cpe.force(f'{IGD}.Layer3Forwarding.DefaultConnectionService', '')
            cpe.force(f'{INTERNET_098}.X_ACME_SERVICELIST', 'INTERNET')
        assert outcomes(enforce(world, BLOCKED, two_wans, block='wan_off')) == [APPLIED]
        assert (two_wans.value(f'{INTERNET_098}.Enable'), two_wans.is_cut) == ('0', False)
        (result,) = enforce(world, BLOCKED, one_wan, block='wan_off')
        assert (result.outcome, 'carries management' in result.message) == (FAILED, True)
        assert not one_wan.is_cut
        assert outcomes(enforce(world, NORMAL, two_wans)) == [APPLIED]
        assert two_wans.value(f'{INTERNET_098}.Enable') == '1'


def test_without_the_models_opt_in_no_wan_is_cut(acs):
    cpe = acs.add('A')
    (result,) = enforce(acs, BLOCKED, cpe, block='wan_off')
    assert (result.outcome, 'allow_wan_off' in result.message) == (FAILED, True)
    assert cpe.value(f'{INTERNET_098}.Enable') == '1'


# Parameters and check


@pytest.mark.parametrize(
    'wrong',
    [{'url': 'ftp://acs'}, {'url': 'https://user:secret@acs/'}, {'block': 'reset'}, {'in_flight': 0}, {'token': 'x'},
     {'portal_url': 'javascript:1'}],
)  # fmt: skip
def test_parameters_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValidationError):
        EmbeddedAcsDriver(None, wrong)


# What GenieACS says of a device that is not well


@pytest.fixture
def genie():
    with genie_acs() as world:
        yield world


@pytest.mark.parametrize('code', ['session_terminated', 'script.Error', 'cwmp.9002'])
def test_a_fault_that_passes_is_got_over_within_the_settling_time(genie, code):
    cpe = genie.add('S1')
    genie.server.devices[cpe.id].passing = [code]
    assert outcomes(enforce(genie, SLOW, cpe, urgent_rows=0)) == [APPLIED]
    assert cpe.value(UP) == '128000'


def test_a_fault_that_does_not_pass_is_offline_and_never_failed(genie):
    cpe = genie.add('S1')
    genie.server.devices[cpe.id].passing = ['session_terminated'] * 100
    (result,) = enforce(genie, SLOW, cpe, urgent_rows=0, settle_seconds=2)
    assert result.outcome is OFFLINE
    assert 'session_terminated' in result.message
    genie.server.devices[cpe.id].passing = []
    genie.server.faults.clear()  # GenieACS goes on by itself, later
    genie.comes(cpe)
    assert cpe.value(UP) == '128000'


def test_a_set_that_is_acknowledged_and_ignored_ends_in_words(genie):
    cpe = genie.add('S1', manners=Manners(accepts_but_ignores=True))
    (result,) = enforce(genie, SLOW, cpe, urgent_rows=0)
    assert result.outcome is FAILED
    assert 'reads otherwise' in result.message
    assert UP in result.message


def test_a_check_names_a_stock_preset_that_is_missing(genie):
    (finding,) = [item for item in check_point(genie.point(), datetime.now(UTC)) if item.subject == 'setup']
    assert 'bootstrap' in finding.message
    assert not finding.required
