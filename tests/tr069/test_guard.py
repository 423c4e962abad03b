"""Every case of the in-band management guard. What is not proven harmless is refused."""

from __future__ import annotations

import pytest

from tests.simulators.cpe_trees import (
    BOOLEAN,
    IGD,
    INT,
    INTERNET_098,
    MANAGEMENT_098,
    STRING,
    UINT,
    WAN98,
    Tree,
    tr098,
    tr181,
)
from tr069.cwmp.messages import ParameterValue
from tr069.guard import (
    Canary,
    ModelPolicy,
    Risk,
    classify,
    judge,
    kept_back,
    locate_management,
    lower_layers,
    matches,
    reads_needed,
)

OPEN = ModelPolicy(allow_wan_off=True, canary=Canary.INFORMED)
URL_098 = 'http://10.64.0.7:7547/cr'
URL_181 = 'http://10.64.0.8:7547/cr'


def off(path: str) -> ParameterValue:
    return ParameterValue(path, '0', BOOLEAN)


def plain(tree: Tree, url: str = '', **changes: str) -> dict[str, str]:
    values = {path: node[0] for path, node in tree.items()}
    root = 'Device' if 'Device.DeviceInfo.Manufacturer' in values else IGD
    values[f'{root}.ManagementServer.ConnectionRequestURL'] = url
    return values | changes


def two_wans(url: str = URL_098, **changes: str) -> dict[str, str]:
    """The Internet WAN is neither the default nor has management's address: it alone may go."""
    return plain(tr098(), url, **{f'{IGD}.Layer3Forwarding.DefaultConnectionService': MANAGEMENT_098}) | changes


# --- classification ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('path', 'value', 'risk'),
    [
        (f'{INTERNET_098}.ShapingRate', '64000', Risk.LOW),
        (f'{IGD}.QueueManagement.Queue.1.ShapingRate', '64000', Risk.LOW),
        (f'{IGD}.CaptivePortal.Enable', '1', Risk.LOW),
        (f'{IGD}.LANDevice.1.LANHostConfigManagement.DNSServers', '10.0.0.1', Risk.LOW),
        (f'{IGD}.LANDevice.1.WLANConfiguration.1.SSID', 'x', Risk.LOW),
        (f'{IGD}.LANDevice.1.WLANConfiguration.1.Enable', '0', Risk.LAN),
        (f'{IGD}.LANDevice.1.WLANConfiguration.1.Enable', '1', Risk.LOW),
        (f'{IGD}.LANDevice.1.LANEthernetInterfaceConfig.1.Enable', '0', Risk.LAN),
        ('Device.QoS.Shaper.1.ShapingRate', '64000', Risk.LOW),
        ('Device.WiFi.SSID.1.Enable', 'false', Risk.LAN),
        ('Device.Ethernet.Interface.1.Enable', '0', Risk.LAN),
        ('Device.Ethernet.Link.1.Enable', '0', Risk.WAN),
        ('Device.PPP.Interface.1.Enable', '0', Risk.WAN),
        ('Device.PPP.Interface.1.Enable', '1', Risk.LOW),
        ('Device.PPP.Interface.1.Username', 'x', Risk.WAN),
        (f'{INTERNET_098}.Enable', '0', Risk.WAN),
        (f'{INTERNET_098}.X_HW_SERVICELIST', 'TR069', Risk.WAN),
        (f'{WAN98}.2.X_HW_VLAN', '7', Risk.WAN),
        (f'{IGD}.WANDevice.1.WANCommonInterfaceConfig.EnabledForInternet', '0', Risk.FORBIDDEN),
        (f'{IGD}.WANDevice.1.WANCommonInterfaceConfig.EnabledForInternet', '1', Risk.LOW),
        (f'{IGD}.ManagementServer.URL', 'http://x/', Risk.FORBIDDEN),
        ('Device.ManagementServer.EnableCWMP', '0', Risk.FORBIDDEN),
        (f'{IGD}.ManagementServer.PeriodicInformEnable', '0', Risk.FORBIDDEN),
        (f'{IGD}.ManagementServer.PeriodicInformInterval', '600', Risk.LOW),
        (f'{IGD}.Firewall.Config', 'High', Risk.UNKNOWN),
        ('Device.Firewall.Chain.1.Rule.1.Enable', '1', Risk.UNKNOWN),
        ('Device.Routing.Router.1.Enable', '0', Risk.UNKNOWN),
        (f'{IGD}.Layer3Forwarding.DefaultConnectionService', 'x', Risk.UNKNOWN),
        (f'{IGD}.LANDevice.1.LANHostConfigManagement.IPInterface.1.Enable', '0', Risk.UNKNOWN),
        ('Something.Else', '1', Risk.UNKNOWN),
        ('', '1', Risk.UNKNOWN),
    ],
)
def test_paths_are_classified_by_what_they_can_do(path: str, value: str, risk: Risk) -> None:
    assert classify(ParameterValue(path, value)) is risk


@pytest.mark.parametrize(
    'word', ['up', 'Up', 'enabled', 'Enabled', 'yes', 'on', '2', '01', '+1', '1.0', '', 'tru', 'false']
)
@pytest.mark.parametrize(
    ('path', 'risk'),
    [
        (f'{IGD}.WANDevice.1.WANCommonInterfaceConfig.EnabledForInternet', Risk.FORBIDDEN),
        ('Device.ManagementServer.EnableCWMP', Risk.FORBIDDEN),
        (f'{IGD}.ManagementServer.PeriodicInformEnable', Risk.FORBIDDEN),
        (f'{IGD}.LANDevice.1.WLANConfiguration.1.Enable', Risk.LAN),
        (f'{INTERNET_098}.Enable', Risk.WAN),
        ('Device.PPP.Interface.1.Enable', Risk.WAN),
    ],
)
def test_what_is_not_surely_on_is_judged_as_off(path: str, risk: Risk, word: str) -> None:
    """`xsd:boolean` knows 1 and true: GenieACS makes false of any other word."""
    assert classify(ParameterValue(path, word)) is risk
    for on in ('1', 'true', ' True '):
        assert classify(ParameterValue(path, on)) is Risk.LOW


def test_a_profile_may_allow_list_an_unknown_path_but_never_for_a_forbidden_or_a_wan_one() -> None:
    allow_list = (f'{IGD}.Firewall.Config', f'{IGD}.ManagementServer.', f'{INTERNET_098}.Enable')
    assert classify(ParameterValue(f'{IGD}.Firewall.Config', 'High'), allow_list) is Risk.LOW
    assert classify(ParameterValue(f'{IGD}.ManagementServer.URL', 'x'), allow_list) is Risk.FORBIDDEN
    assert classify(off(f'{INTERNET_098}.Enable'), allow_list) is Risk.WAN


def test_patterns_match_whole_segments_only() -> None:
    assert matches('A.*.B', 'A.1.B')
    assert not matches('A.*.B', 'A.1.2.B')
    assert matches('A.B.', 'A.B.C.D')
    assert not matches('A.B', 'A.BC')


def test_only_risky_values_ask_for_a_read() -> None:
    assert reads_needed([ParameterValue(f'{INTERNET_098}.ShapingRate', '64000')]) == ()
    assert f'{IGD}.WANDevice.' in reads_needed([off(f'{INTERNET_098}.Enable')])
    assert 'Device.IP.Interface.' in reads_needed([off('Device.WiFi.SSID.1.Enable')])


# --- where management is ----------------------------------------------------------------------------------------------


def test_the_connection_request_address_proves_the_wan() -> None:
    assert f'{MANAGEMENT_098}.' in locate_management(plain(tr098(), URL_098)).proven


def test_the_sessions_source_address_proves_the_wan_too() -> None:
    found = locate_management(plain(tr098(), 'http://192.168.1.1:7547/'), '203.0.113.7')
    assert found.proven == {f'{INTERNET_098}.'}


@pytest.mark.parametrize('name', ['TR069', 'x_tr-069_y', 'MGMT', 'Management', 'TR069_INTERNET'])
def test_a_name_or_service_list_protects_but_proves_nothing(name: str) -> None:
    for leaf in ('Name', 'X_HW_SERVICELIST', 'X_HW_ExServiceList', 'X_ZTE-COM_ServiceList'):
        tree = two_wans('', **{f'{INTERNET_098}.{leaf}': name})
        found = locate_management(tree)
        assert f'{INTERNET_098}.' in found.protected
        assert found.proven == frozenset()


def test_of_two_service_lists_the_one_that_says_tr069_counts() -> None:
    tree = two_wans(**{f'{INTERNET_098}.X_HW_SERVICELIST': 'INTERNET', f'{INTERNET_098}.X_HW_ExServiceList': 'TR069'})
    assert not judge([off(f'{INTERNET_098}.Enable')], tree, OPEN).allowed


def test_the_default_connection_is_protected() -> None:
    assert f'{INTERNET_098}.' in locate_management(plain(tr098(), URL_098)).protected
    assert 'Device.IP.Interface.1.' in locate_management(plain(tr181(), URL_181)).protected


def test_a_url_that_is_no_url_proves_nothing() -> None:
    for url in ('', 'not a url', 'http://[bad', '10.64.0.7'):
        assert locate_management(plain(tr098(), url)).proven == frozenset()


def test_layers_are_followed_to_the_wire() -> None:
    below, complete = lower_layers(plain(tr181()), 'Device.IP.Interface.2')
    assert {'Device.Ethernet.VLANTermination.1.', 'Device.Ethernet.Link.2.', 'Device.Ethernet.Interface.1.'} <= below
    assert complete


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_a_separate_wan_may_go_where_everything_is_proven() -> None:
    verdict = judge([off(f'{INTERNET_098}.Enable')], two_wans(), OPEN)
    assert verdict.allowed
    assert not verdict.is_canary


@pytest.mark.parametrize(
    'path',
    [
        f'{MANAGEMENT_098}.Enable',  # it is that WAN
        f'{MANAGEMENT_098}.ConnectionType',
        f'{WAN98}.1.WANEthernetLinkConfig.Enable',  # its parent
        f'{IGD}.WANDevice.1.WANDSLInterfaceConfig.Enable',  # its lower layer
        f'{IGD}.WANDevice.1.WANCommonInterfaceConfig.WANAccessType',
    ],
)
def test_the_management_wan_its_parents_and_lower_layers_are_refused(path: str) -> None:
    assert not judge([off(path)], two_wans(), OPEN).allowed


@pytest.mark.parametrize(
    'path',
    [
        'Device.IP.Interface.2.Enable',
        'Device.Ethernet.VLANTermination.1.Enable',
        'Device.Ethernet.Link.2.Enable',
        'Device.Ethernet.Interface.1.Enable',
        'Device.IP.IPv4Enable',
        'Device.PPP.Interface.1.Enable',  # below the default route
    ],
)
def test_the_stack_under_management_is_refused_in_tr181(path: str) -> None:
    verdict = judge([off(path)], plain(tr181(), URL_181), OPEN)
    assert not verdict.allowed, path


def test_a_lan_port_may_go_in_tr181_where_the_stack_is_known() -> None:
    assert judge([off('Device.Ethernet.Interface.2.Enable')], plain(tr181(), URL_181)).allowed
    assert judge([off('Device.WiFi.SSID.1.Enable')], plain(tr181(), URL_181)).allowed


def test_an_incomplete_stack_fails_closed() -> None:
    tree = plain(tr181(), URL_181)
    del tree['Device.Ethernet.Link.2.LowerLayers']
    assert not judge([off('Device.Ethernet.Interface.2.Enable')], tree).allowed


@pytest.mark.parametrize('url', ['', 'http://192.168.1.1:7547/', 'http://cpe.example/', 'rubbish'])
def test_no_proof_no_change(url: str) -> None:
    """An empty URL, a LAN address, a name: it is not known where management runs."""
    assert not judge([off(f'{INTERNET_098}.Enable')], two_wans(url), OPEN).allowed
    assert not judge([off(f'{IGD}.LANDevice.1.WLANConfiguration.1.Enable')], two_wans(url), OPEN).allowed


def test_an_empty_read_fails_closed() -> None:
    assert not judge([off(f'{INTERNET_098}.Enable')], {}, OPEN).allowed
    assert not judge([off('Device.WiFi.SSID.1.Enable')], {}, OPEN).allowed


def test_one_shared_wan_is_never_cut() -> None:
    for tree, wan in ((plain(tr098(shared_wan=True), 'http://203.0.113.7/'), INTERNET_098), (
        plain(tr181(shared_wan=True), 'http://203.0.113.8/'), 'Device.PPP.Interface.1',
    )):  # fmt: skip
        assert not judge([off(f'{wan}.Enable')], tree, OPEN).allowed


def test_wan_off_needs_the_models_opt_in_and_its_canary() -> None:
    change = [off(f'{INTERNET_098}.Enable')]
    assert not judge(change, two_wans(), ModelPolicy()).allowed
    first = judge(change, two_wans(), ModelPolicy(allow_wan_off=True))
    assert first.allowed
    assert first.is_canary
    assert not judge(change, two_wans(), ModelPolicy(allow_wan_off=True, canary=Canary.WAITING)).allowed
    assert judge(change, two_wans(), ModelPolicy(allow_wan_off=True, canary=Canary.INFORMED)).allowed


def test_wifi_off_needs_no_opt_in_where_management_is_on_a_wan() -> None:
    assert judge([off(f'{IGD}.LANDevice.1.WLANConfiguration.1.Enable')], two_wans()).allowed


@pytest.mark.parametrize('rate', ['0', '1', '64', '100'])
def test_a_rate_that_would_mean_percent_is_refused(rate: str) -> None:
    verdict = judge([ParameterValue(f'{INTERNET_098}.ShapingRate', rate, INT)], {})
    assert not verdict.allowed
    assert 'percent' in verdict.reason


@pytest.mark.parametrize('rate', ['+50', '101', '512', '7999', '-2', '-64000', '', 'fast', '6_4000', '64e3', '٦٤٠٠٠'])
@pytest.mark.parametrize('path', [f'{INTERNET_098}.ShapingRate', 'Device.QoS.Policer.1.CommittedRate'])
def test_a_rate_that_would_starve_management_is_refused(path: str, rate: str) -> None:
    verdict = judge([ParameterValue(path, rate, INT)], {})
    assert not verdict.allowed
    assert 'would starve management' in verdict.reason


@pytest.mark.parametrize('interval', ['0', '29', '86401', '4294967295', '-60', '', 'daily', '3_600', '60.0'])
def test_an_interval_at_which_nobody_would_come_is_refused(interval: str) -> None:
    for root in (IGD, 'Device'):
        verdict = judge([ParameterValue(f'{root}.ManagementServer.PeriodicInformInterval', interval, UINT)], {})
        assert not verdict.allowed
        assert '30 to 86400 seconds' in verdict.reason


def test_a_sensible_interval_is_fine_and_a_saved_one_is_put_back_as_it_was() -> None:
    path = f'{IGD}.ManagementServer.PeriodicInformInterval'
    for interval in ('30', '3600', '86400'):
        assert judge([ParameterValue(path, interval, UINT)], {}).allowed
    assert kept_back([ParameterValue(path, '604800', UINT)], {}) == ()


@pytest.mark.parametrize('rate', ['-1', '8000', '64000'])
def test_other_rates_are_fine(rate: str) -> None:
    assert judge([ParameterValue(f'{INTERNET_098}.ShapingRate', rate, INT)], {}).allowed


def test_one_refused_value_refuses_all() -> None:
    values = [ParameterValue(f'{INTERNET_098}.ShapingRate', '64000', INT), off(f'{MANAGEMENT_098}.Enable')]
    assert not judge(values, two_wans(), OPEN).allowed


def test_a_restore_needs_no_proof_but_keeps_its_hands_off_what_is_forbidden() -> None:
    saved = [ParameterValue(f'{INTERNET_098}.Username', 'user', STRING), off(f'{IGD}.WANDevice.1.X.Y')]
    assert kept_back(saved, {}) == ()
    assert kept_back([ParameterValue(f'{INTERNET_098}.ShapingRate', '50', INT)], {}) == ()
    forbidden = [
        ParameterValue(f'{IGD}.ManagementServer.URL', 'x'),
        off(f'{IGD}.ManagementServer.PeriodicInformEnable'),
    ]
    assert kept_back([*saved, *forbidden], {}) == tuple(item.name for item in forbidden)


def test_a_wan_that_carries_management_by_now_is_not_switched_off_because_it_once_was() -> None:
    both = [off(f'{INTERNET_098}.Enable'), off(f'{MANAGEMENT_098}.Enable')]
    assert kept_back(both, two_wans()) == (f'{MANAGEMENT_098}.Enable',)
    assert kept_back(both, {}) == (), 'without a sign of management it goes back to what management worked with'
    assert kept_back(both, {}, is_blind=True) == tuple(item.name for item in both)


def test_a_saved_value_under_a_stack_that_cannot_be_read_to_its_end_stays_as_it_is() -> None:
    port = off('Device.Ethernet.Interface.2.Enable')
    assert kept_back([port], plain(tr181(), URL_181)) == ()
    tree = plain(tr181(), URL_181)
    del tree['Device.Ethernet.Link.2.LowerLayers']
    assert kept_back([port], tree) == (port.name,)


def test_an_ipv6_address_is_the_same_however_it_is_written() -> None:
    tree = {
        'Device.ManagementServer.ConnectionRequestURL': 'http://[2001:db8::8]:7547/',
        'Device.IP.Interface.1.IPv6Address.1.IPAddress': '2001:0DB8:0:0::8',
    }
    assert locate_management(tree).proven == {'Device.IP.Interface.1.'}


def test_what_is_already_so_is_no_change() -> None:
    tree = two_wans(**{f'{MANAGEMENT_098}.Enable': '0'})
    assert judge([off(f'{MANAGEMENT_098}.Enable')], tree).allowed
