"""Levers: found in the device's own tree, in the right units, with a reason for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulators.cpe_trees import IGD, INT, INTERNET_098, MANAGEMENT_098, WAN98, Tree, tr098, tr181
from tr069.acs.settings import SettingsError, load_settings
from tr069.cwmp.messages import ParameterValue
from tr069.datamodel.profiles import (
    GENERIC,
    Direction,
    GuardFacts,
    Kind,
    Status,
    Unit,
    builtin,
    load,
    load_directory,
    profile_for,
)
from tr069.datamodel.resolver import LeverReport, as_tree, captive_portal, resolve, throttle
from tr069.datamodel.tree import Identity, Leaf
from tr069.datamodel.values import differing, same
from tr069.errors import NoLeverError, ProfileError
from tr069.guard import Risk, judge


def leaves(tree: Tree, **changes: tuple[str, str, bool]) -> dict[str, Leaf]:
    return {path: Leaf(*node) for path, node in {**tree, **changes}.items()}


def values(report: LeverReport, down: int = 256, up: int = 64) -> dict[str, str]:
    return {item.name: item.value for item in throttle(report, down, up).values}


def test_the_wan_shaper_limits_upload_in_bits_a_second() -> None:
    report = resolve(leaves(tr098()))
    up = report.chosen(Kind.SHAPING, Direction.UP)
    assert up is not None
    assert (up.path, up.unit) == (f'{INTERNET_098}.ShapingRate', Unit.BPS)
    assert values(report)[f'{INTERNET_098}.ShapingRate'] == '64000'


def test_download_needs_a_lan_side_queue_which_is_switched_on() -> None:
    found = values(resolve(leaves(tr098())))
    assert found[f'{IGD}.QueueManagement.Queue.2.ShapingRate'] == '256000'
    assert found[f'{IGD}.QueueManagement.Enable'] == '1'
    assert f'{IGD}.QueueManagement.Queue.1.ShapingRate' not in found


def test_the_slowest_rate_never_falls_into_the_percent_range() -> None:
    assert values(resolve(leaves(tr098())), 1, 1)[f'{INTERNET_098}.ShapingRate'] == '1000'


def test_a_missing_direction_is_said_not_hidden() -> None:
    tree = {path: leaf for path, leaf in leaves(tr098()).items() if 'QueueManagement' not in path}
    plan = throttle(resolve(tree), 256, 64)
    assert [item.name for item in plan.values] == [f'{INTERNET_098}.ShapingRate']
    assert any('download' in note for note in plan.notes)


def test_the_shaper_of_the_management_wan_is_not_taken() -> None:
    report = resolve(leaves(tr098()))
    other = next(item for item in report.levers if item.path == f'{MANAGEMENT_098}.ShapingRate')
    assert not other.usable
    assert "not the connection that carries the customer's traffic" in other.why


def test_the_most_specific_profile_wins_and_any_own_one_before_those_shipped(tmp_path: Path) -> None:
    for name, match in (
        ('a-maker', "{manufacturer: 'Acme.*'}"),
        ('b-software', "{manufacturer: 'Acme.*', product_class: 'R1', software_version: '2.*'}"),
        ('c-model', "{product_class: 'R1'}"),
        ('d-huawei', "{manufacturer: 'Huawei.*'}"),
    ):
        (tmp_path / f'{name}.yaml').write_text(f'name: {name}\nmatch: {match}\n')
    known = load_directory(tmp_path)
    assert profile_for(Identity('Acme', '', 'R1', '2.1'), known).name == 'b-software'
    assert profile_for(Identity('Acme', '', 'R1', '1.0'), known).name == 'c-model'
    assert profile_for(Identity('Acme', '', 'R2'), known).name == 'a-maker'
    assert profile_for(Identity('Huawei', '', 'EG8145V5'), known).name == 'd-huawei'


def test_two_equal_wans_are_not_guessed_between() -> None:
    extra = f'{WAN98}.3.WANPPPConnection.1'
    tree = leaves(
        tr098(shared_wan=True),
        **{
            f'{extra}.Enable': ('1', 'xsd:boolean', True),
            f'{extra}.ConnectionStatus': ('Connected', 'xsd:string', False),
            f'{extra}.ShapingRate': ('-1', INT, True),
            f'{IGD}.Layer3Forwarding.DefaultConnectionService': ('', 'xsd:string', True),
        },
    )
    report = resolve(tree)
    assert report.chosen(Kind.SHAPING, Direction.UP) is None
    assert any('is not known which' in item.why for item in report.levers)


def four_wans(connected: tuple[int, ...], default: str = '') -> dict[str, tuple[str, str, bool]]:
    """Four services set up for the internet on one port, as providers ship them; not all are in use."""
    found: dict[str, tuple[str, str, bool]] = {
        f'{IGD}.Layer3Forwarding.DefaultConnectionService': (default, 'xsd:string', True)
    }
    for number in (1, 2, 3, 4):
        owner = f'{WAN98}.{number}.WANPPPConnection.1'
        found |= {
            f'{owner}.Enable': ('1', 'xsd:boolean', True),
            f'{owner}.ConnectionStatus': ('Connected' if number in connected else 'Disconnected', 'xsd:string', False),
            f'{owner}.X_HW_SERVICELIST': ('INTERNET', 'xsd:string', True),
            f'{owner}.ShapingRate': ('-1', INT, True),
        }
    return found


def test_of_several_wans_for_the_internet_only_connected_ones_count() -> None:
    def shaped(connected: tuple[int, ...], default: str = '') -> str:
        tree = leaves({}, **four_wans(connected, default))
        lever = resolve(tree).chosen(Kind.SHAPING, Direction.UP)
        return lever.path if lever else ''

    assert shaped((3,)) == f'{WAN98}.3.WANPPPConnection.1.ShapingRate'
    assert shaped((2, 3)) == ''  # which of the two is the subscriber's is not guessed
    assert shaped((2, 3), f'{WAN98}.2.WANPPPConnection.1') == f'{WAN98}.2.WANPPPConnection.1.ShapingRate'
    assert shaped((3,), f'{WAN98}.1.WANPPPConnection.1') == f'{WAN98}.3.WANPPPConnection.1.ShapingRate'
    assert shaped(()) == ''


@pytest.mark.parametrize('kind', ['xsd:int', ''])
def test_a_lever_that_reads_as_no_number_is_not_used(kind: str) -> None:
    path = f'{WAN98}.1.WANPPPConnection.1.ShapingRate'
    report = resolve(leaves({}, **four_wans((1,)) | {path: ('', kind, True)}))
    assert report.chosen(Kind.SHAPING, Direction.UP) is None
    assert any('could not be put back' in item.why for item in report.levers if item.path == path)


def test_tr181_shapers_are_told_apart_by_their_interface() -> None:
    report = resolve(leaves(tr181()))
    found = values(report)
    assert found['Device.QoS.Shaper.1.ShapingRate'] == '64000'
    assert found['Device.QoS.Shaper.2.ShapingRate'] == '256000'
    assert found['Device.QoS.Shaper.1.Enable'] == '1'


def test_a_shaper_bound_to_nothing_is_not_used() -> None:
    tree = leaves(tr181(), **{'Device.QoS.Shaper.1.Interface': ('', 'xsd:string', True)})
    report = resolve(tree)
    lever = next(item for item in report.levers if item.path == 'Device.QoS.Shaper.1.ShapingRate')
    assert not lever.usable
    assert 'which side' in lever.why


def test_read_only_says_so() -> None:
    tree = leaves(tr098(), **{f'{INTERNET_098}.ShapingRate': ('-1', INT, False)})
    lever = next(item for item in resolve(tree).levers if item.path == f'{INTERNET_098}.ShapingRate')
    assert not lever.usable
    assert 'read-only' in lever.why


def test_a_captive_portal_is_switched_on_with_its_url() -> None:
    plan = captive_portal(resolve(leaves(tr098())), 'http://notice.example/')
    assert {item.name.rpartition('.')[2]: item.value for item in plan.values} == {
        'Enable': '1',
        'CaptivePortalURL': 'http://notice.example/',
    }
    with pytest.raises(NoLeverError):
        captive_portal(resolve(leaves(tr181())), 'http://notice.example/')


def test_a_device_without_levers_says_so() -> None:
    with pytest.raises(NoLeverError):
        throttle(resolve({'Device.DeviceInfo.SoftwareVersion': Leaf('1')}), 1, 1)
    with pytest.raises(ValueError, match='at least 1'):
        throttle(resolve(leaves(tr098())), 0, 1)


def test_a_firewall_is_usable_only_where_the_profile_allow_lists_it() -> None:
    path = f'{IGD}.Firewall.Config'
    tree = leaves(tr098(), **{path: ('Low', 'xsd:string', True)})
    refused = next(item for item in resolve(tree).levers if item.path == path)
    assert not refused.usable
    assert 'allow-lists' in refused.why
    careful = GENERIC.model_copy(update={'guard': GuardFacts(allow_list=(path,))})
    assert next(item for item in resolve(tree, careful).levers if item.path == path).usable


def test_no_lever_is_chosen_that_the_guard_would_refuse() -> None:
    for tree in (tr098(), tr181(), tr098(shared_wan=True), tr181(shared_wan=True)):
        report = resolve(leaves(tree))
        plan = throttle(report, 256, 64)
        assert judge(plan.values, {}).allowed
        assert all(item.risk is Risk.LOW for item in report.levers if item.chosen)


def test_wan_off_is_listed_and_never_picked() -> None:
    report = resolve(leaves(tr098()))
    assert report.chosen(Kind.WAN_OFF) is None
    assert all(not item.usable for item in report.levers if item.kind is Kind.WAN_OFF)


# --- profiles ---------------------------------------------------------------------------------------------------------


def test_every_shipped_profile_loads_and_none_claims_to_be_verified_or_allows_wan_off() -> None:
    profiles = builtin()
    names = ' '.join(profile.name for profile in profiles)
    for vendor in ('huawei', 'zte', 'tplink', 'nokia', 'intelbras', 'dlink', 'mikrotik'):
        assert vendor in names
    assert all(lever.status is not Status.VERIFIED for profile in profiles for lever in profile.levers)
    assert not any(profile.guard.allow_wan_off for profile in profiles)


@pytest.mark.parametrize(
    ('identity', 'name'),
    [
        (Identity('Huawei Technologies Co., Ltd', '00259E', 'EG8145V5'), 'huawei-eg8145v5'),
        (Identity('ZTE', '', 'ZXHN H199A'), 'zte-h199a'),
        (Identity('TP-Link', '', 'XX230v'), 'tplink-xx230v'),
        (Identity('Nokia', '', 'G-1425G-A'), 'nokia-g1425g'),
        (Identity('?', '00E04C', 'W5-2100G'), 'w5-2100g'),
        (Identity('INTELBRAS', '00E04C', 'W5-2100G'), 'w5-2100g'),  # the maker's own profile fits as well
        (Identity('INTELBRAS', '00E04C', 'RX 1500'), 'intelbras'),
        (Identity('TP-Link', '', 'Device2'), 'generic'),
        (Identity('TP-Link', '', 'Device2', model_name='XX230v'), 'tplink-xx230v'),
        (Identity('TP-Link', '', 'Device2', model_name='EX220-G2u'), 'tplink-ex220'),
        (Identity('ChinaNMS', 'A00001', 'OT2800'), 'netcwmp'),
        (Identity('MikroTik', '', 'hAP'), 'mikrotik'),
        (Identity('Acme', '', 'Router'), 'generic'),
    ],
)
def test_devices_find_their_profile(identity: Identity, name: str) -> None:
    assert profile_for(identity).name == name


def test_an_unverified_lever_is_shown_and_only_chosen_when_asked() -> None:
    huawei = profile_for(Identity('Huawei', '', 'EG8145V5'))
    down = f'{IGD}.QueueManagement.X_HW_Down_Bandwidth'
    tree = leaves(tr098(), **{down: ('0', 'xsd:unsignedInt', True)})
    tree = {path: leaf for path, leaf in tree.items() if '.Queue.' not in path}
    shown = next(item for item in resolve(tree, huawei).levers if item.path == down)
    assert not shown.usable
    assert 'unverified' in shown.why
    chosen = resolve(tree, huawei, use_unverified=True)
    assert values(chosen, 256, 64)[down] == '256'  # kbit/s, as the profile guesses


def test_mikrotik_has_nothing_that_limits_a_rate() -> None:
    mikrotik = profile_for(Identity('MikroTik'))
    tree = {path: leaf for path, leaf in leaves(tr181()).items() if '.QoS.' not in path}
    with pytest.raises(NoLeverError):
        throttle(resolve(tree, mikrotik), 256, 64)


@pytest.mark.parametrize(
    'text', ['name: x', 'name: x\nmatch: {oui: "("}', 'name: x\nmatch: {}\nsurprise: 1', '- a', '{', '']
)
def test_a_wrong_profile_names_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / 'mine.yaml'
    path.write_text(text)
    with pytest.raises(ProfileError, match=r'mine\.yaml'):
        load(path)


def test_generic_fits_everybody() -> None:
    assert GENERIC.match.fits(Identity())


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('one', 'other', 'kind', 'equal'),
    [
        ('1', 'true', 'xsd:boolean', True),
        ('0', 'False', 'xsd:boolean', True),
        ('1', '0', 'xsd:boolean', False),
        ('64000', '064000', 'xsd:unsignedInt', True),
        ('64000', '64001', 'xsd:int', False),
        ('1', 'true', 'xsd:string', False),
        ('x', 'maybe', 'xsd:boolean', False),
        ('', 'abc', 'xsd:int', False),
    ],
)
def test_values_are_compared_as_their_type_means_them(one: str, other: str, kind: str, equal: bool) -> None:
    assert same(ParameterValue('A', one, kind), ParameterValue('A', other, kind)) is equal


def test_a_missing_value_differs() -> None:
    assert differing([ParameterValue('A', '1')], {}) == ('A',)


def test_writability_joins_the_values_read() -> None:
    tree = as_tree([ParameterValue('A.B', '1', 'xsd:int')], {'A.B': False, 'A.C': True, 'A.': False})
    assert tree == {'A.B': Leaf('1', 'xsd:int', False), 'A.C': Leaf(None, '', True)}


@pytest.mark.parametrize(
    'text',
    [
        'planted-secret', '[planted-secret', 'planted-secret: [', 'name: x\nmatch: planted-secret',
        'name: x\nmatch: {oui: "(planted-secret"}', 'name: {a: planted-secret}\nmatch: {}', '\tplanted-secret',
        'name: x\nmatch: {}\nlevers: [{kind: planted-secret, path: a}]', '&planted-secret [*planted-secret2]',
    ],
)  # fmt: skip
def test_what_stands_in_a_file_that_is_no_profile_is_not_quoted(tmp_path: Path, text: str) -> None:
    """A point's parameters may name any folder of the worker; its errors are read by whoever may see the point."""
    (tmp_path / 'p.yaml').write_text(text)
    with pytest.raises(ProfileError) as refused:
        load_directory(tmp_path)
    assert 'p.yaml' in str(refused.value)
    assert 'planted' not in str(refused.value)
    with pytest.raises(SettingsError) as unsettled:
        load_settings(tmp_path / 'p.yaml')
    assert 'planted' not in str(unsettled.value)


def test_what_is_wrong_with_a_file_is_said_where_it_is(tmp_path: Path) -> None:
    (tmp_path / 'p.yaml').write_bytes(b'name: x\nmatch: [\n')
    with pytest.raises(ProfileError, match='line 3, column 1'):
        load(tmp_path / 'p.yaml')
    (tmp_path / 'p.yaml').write_bytes(b'name: \xff')
    with pytest.raises(ProfileError, match='not UTF-8'):
        load(tmp_path / 'p.yaml')
    with pytest.raises(ProfileError, match='No such file'):
        load(tmp_path / 'gone.yaml')
