"""The exact attributes that each dialect sends for each change, and what is refused."""

import pytest

from nornir_tasks.change import AccessState
from nornir_tasks.connections.radius import NasParameters
from nornir_tasks.drivers.radius.sessions import NasSession, identity, plan_work
from nornir_tasks.errors import ConfigurationError
from nornir_tasks.radius.attributes import encode
from nornir_tasks.radius.dialects import DialectError, dialects, get_dialect, values_for
from nornir_tasks.radius.packet import Code

NORMAL, BLOCKED, SLOW = AccessState.normal(), AccessState.blocked(), AccessState.throttled(1000, 512)
CONTRACTED = (20_000, 10_000)
NAMES = {'normal': 'home', 'throttled': 'slow({down}k,{up}k)', 'blocked': 'garden'}
SESSION = NasSession('192.0.2.1', 'ana', '81c0', '100.64.0.1')
DISCONNECT = None


def requests(dialect, before, desired, names=NAMES):
    old = values_for(before, CONTRACTED, names[str(before.mode)])['name']
    values = values_for(desired, CONTRACTED, names[str(desired.mode)], old)
    return get_dialect(dialect).requests(before, desired, values)


@pytest.mark.parametrize(
    ('dialect', 'before', 'desired', 'expected'),
    [
        ('generic', NORMAL, SLOW, [[('Filter-Id', 'slow(1000k,512k)')]]),
        ('generic', SLOW, NORMAL, [[('Filter-Id', 'home')]]),
        ('generic', NORMAL, BLOCKED, [[('Filter-Id', 'garden')]]),
        ('mikrotik', NORMAL, SLOW, [[('Mikrotik-Rate-Limit', '512k/1000k')]]),
        ('mikrotik', SLOW, NORMAL, [[('Mikrotik-Rate-Limit', '10000k/20000k')]]),
        ('mikrotik', NORMAL, BLOCKED, DISCONNECT),
        ('mikrotik', BLOCKED, NORMAL, DISCONNECT),
        ('mikrotik', BLOCKED, SLOW, DISCONNECT),
        (
            'huawei', NORMAL, SLOW,
            [[('Huawei-Input-Average-Rate', '512000'), ('Huawei-Input-Peak-Rate', '512000'),
              ('Huawei-Output-Average-Rate', '1000000'), ('Huawei-Output-Peak-Rate', '1000000')]],
        ),
        (
            'huawei', SLOW, NORMAL,
            [[('Huawei-Input-Average-Rate', '10000000'), ('Huawei-Input-Peak-Rate', '10000000'),
              ('Huawei-Output-Average-Rate', '20000000'), ('Huawei-Output-Peak-Rate', '20000000')]],
        ),
        ('huawei', NORMAL, BLOCKED, DISCONNECT),
        ('huawei', BLOCKED, NORMAL, DISCONNECT),
        ('huawei_profile', NORMAL, BLOCKED, [[('Huawei-Qos-Profile-Name', 'garden')]]),
        (
            'cisco_isg', NORMAL, BLOCKED,
            [[('Cisco-AVPair', 'subscriber:command=activate-service'),
              ('Cisco-AVPair', 'subscriber:service-name=garden')],
             [('Cisco-AVPair', 'subscriber:command=deactivate-service'),
              ('Cisco-AVPair', 'subscriber:service-name=home')]],
        ),
        ('cisco_iosxr', SLOW, NORMAL, [[('Cisco-AVPair', 'subscriber:sd=slow(1000k,512k)'),
                                        ('Cisco-AVPair', 'subscriber:sa=home')]]),
        ('juniper', NORMAL, SLOW, [[('ERX-Service-Deactivate', 'home'),
                                    ('ERX-Service-Activate:1', 'slow(1000k,512k)')]]),
        ('juniper', SLOW, BLOCKED, [[('ERX-Service-Deactivate', 'slow(1000k,512k)'),
                                     ('ERX-Service-Activate:1', 'garden')]]),
        ('nokia', NORMAL, BLOCKED, [[('Alc-SLA-Prof-Str', 'garden')]]),
        (
            'nokia_override', NORMAL, SLOW,
            [[('Alc-Subscriber-QoS-Override', 'E:Q:1:pir=1000,cir=1000'),
              ('Alc-Subscriber-QoS-Override', 'I:Q:1:pir=512,cir=512')]],
        ),
        (
            'nokia_override', SLOW, NORMAL,
            [[('Alc-Subscriber-QoS-Override', 'E:Q:1:pir=-2,cir=-2'),
              ('Alc-Subscriber-QoS-Override', 'I:Q:1:pir=-2,cir=-2')]],
        ),
        ('accel_ppp', NORMAL, SLOW, [[('Filter-Id', '1000/512')]]),
        ('accel_ppp', NORMAL, BLOCKED, DISCONNECT),
        ('accel_ppp', BLOCKED, NORMAL, DISCONNECT),
    ],
)  # fmt: skip
def test_the_exact_attributes(dialect, before, desired, expected):
    assert requests(dialect, before, desired) == expected


@pytest.mark.parametrize('name', sorted(dialects()))
def test_every_dialect_can_be_encoded_and_reads_its_own_rates(name):
    dialect = get_dialect(name)
    for before in (NORMAL, SLOW, BLOCKED):
        for desired in (NORMAL, SLOW, BLOCKED):
            for pairs in requests(name, before, desired) or []:
                assert encode(pairs)
    reply = dialect.reply(SLOW, values_for(SLOW, CONTRACTED, 'slow', 'home'))
    assert dialect.rates_in(reply) in (None, (1000, 512))
    tells = name in ('mikrotik', 'huawei', 'nokia_override', 'accel_ppp')
    assert (dialect.rates_in(reply) is not None) == tells


def test_a_rate_with_a_burst_is_not_the_rate():
    mikrotik = get_dialect('mikrotik')
    assert mikrotik.rates_in([('Mikrotik-Rate-Limit', '512k/1M')]) == (1000, 512)
    assert mikrotik.rates_in([('Mikrotik-Rate-Limit', '512k/1M 1M/2M 8/8')]) is None
    assert mikrotik.rates_in([('Filter-Id', '512k/1M')]) is None


def test_a_missing_name_or_rate_is_refused_before_anything_is_sent():
    with pytest.raises(DialectError, match='name not known for Filter-Id'):
        get_dialect('generic').requests(NORMAL, BLOCKED, values_for(BLOCKED, CONTRACTED))
    with pytest.raises(DialectError, match='down, up not known'):
        get_dialect('mikrotik').requests(SLOW, NORMAL, values_for(NORMAL, (None, None)))
    with pytest.raises(DialectError, match='old not known'):
        get_dialect('juniper').requests(None, BLOCKED, values_for(BLOCKED, CONTRACTED, 'garden'))


def test_a_control_character_never_reaches_the_wire():
    with pytest.raises(DialectError, match='control character'):
        get_dialect('generic').requests(NORMAL, BLOCKED, values_for(BLOCKED, CONTRACTED, 'a\nb'))


def test_an_unknown_dialect_is_named():
    with pytest.raises(ConfigurationError, match='no RADIUS dialect "cisko"'):
        get_dialect('cisko')


def test_the_session_is_identified_by_as_little_as_the_dialect_wants():
    assert identity(SESSION, NasParameters(dialect='mikrotik')) == [('Acct-Session-Id', '81c0'), ('User-Name', 'ana')]
    assert identity(SESSION, NasParameters(dialect='juniper')) == [('Acct-Session-Id', '81c0')]
    proxied = NasParameters(
        identity=('User-Name', 'NAS-IP-Address'), operator_name='1example.net', operator_nas_identifier='nas-7'
    )
    assert identity(SESSION, proxied) == [
        ('User-Name', 'ana'), ('NAS-IP-Address', '192.0.2.1'),
        ('Operator-NAS-Identifier', 'nas-7'), ('Operator-Name', '1example.net'),
    ]  # fmt: skip
    six = NasSession('2001:db8::1', 'ana')
    assert identity(six, NasParameters(identity=('User-Name', 'NAS-IP-Address')))[1] == (
        'NAS-IPv6-Address', '2001:db8::1',
    )  # fmt: skip
    with pytest.raises(DialectError, match='cannot be told from others'):
        identity(NasSession('192.0.2.1', 'ana'), NasParameters(dialect='juniper'))


def test_a_service_is_taken_down_by_the_very_string_it_was_put_up_by():
    nas = NasParameters(dialect='juniper', names=NAMES)
    for faster in (NORMAL, AccessState.throttled(4000, 2000), BLOCKED):
        (sent,) = plan_work('c', SESSION, nas, SLOW, faster, CONTRACTED, stored=True).requests
        assert encode([('ERX-Service-Deactivate', 'slow(1000k,512k)')]) in sent.attributes


def test_what_cannot_be_changed_live_is_disconnected_only_where_the_policy_is_stored():
    nas = NasParameters(dialect='mikrotik')
    work = plan_work('c', SESSION, nas, NORMAL, BLOCKED, CONTRACTED, stored=True)
    assert [request.code for request in work.requests] == [Code.DISCONNECT_REQUEST]
    with pytest.raises(DialectError, match='only by a reconnect'):
        plan_work('c', SESSION, nas, NORMAL, BLOCKED, CONTRACTED, stored=False)
