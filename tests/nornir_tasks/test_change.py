import pytest

from nornir_tasks.change import AccessState, AccessTarget, Mode, Reading
from nornir_tasks.drivers import available_drivers, get_driver

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
SLOW, SLOWER = AccessState.throttled(2000, 1000), AccessState.throttled(2000, 500)


def test_throttled_needs_both_rates_and_nothing_else_has_any():
    for wrong in ((Mode.THROTTLED,), (Mode.THROTTLED, 1000, None), (Mode.THROTTLED, 0, 10), (Mode.BLOCKED, 1, 1)):
        with pytest.raises(ValueError, match='rates'):
            AccessState(*wrong)


def test_more_restrictive_means_less_access():
    ladder = [NORMAL, SLOW, SLOWER, BLOCKED]
    for easier, state in enumerate(ladder):
        assert [state.is_more_restrictive_than(other) for other in ladder] == [index < easier for index in range(4)]


@pytest.mark.parametrize('state', [NORMAL, BLOCKED, SLOW])
def test_a_reading_survives_json(state):
    reading = Reading(stored=state, live=None, detail={'profile': 'fibre'})
    assert Reading.from_dict(reading.as_dict()) == reading


def test_a_reading_is_desired_only_where_everything_read_agrees():
    assert Reading(BLOCKED, BLOCKED).is_(BLOCKED)
    assert Reading(BLOCKED, None).is_(BLOCKED)
    assert not Reading(BLOCKED, NORMAL).is_(BLOCKED)
    assert not Reading(None, None).is_(NORMAL)
    assert not Reading(BLOCKED, BLOCKED, error='two lines match').is_(BLOCKED)
    assert Reading(BLOCKED, NORMAL).observed == NORMAL


def test_what_another_restricts_and_what_is_absent_survive_json():
    for reading in (Reading(NORMAL, NORMAL, {'profile': 'x'}, foreign=('list y',)), Reading(error='none', absent=True)):
        assert Reading.from_dict(reading.as_dict()) == reading
    with pytest.raises(ValueError, match='absent'):
        Reading(NORMAL, absent=True)


def test_only_a_line_that_nobody_restricts_is_worth_coming_back_to():
    detail = {'profile': 'fibre'}
    assert Reading(NORMAL, NORMAL, detail).is_baseline
    assert Reading(NORMAL, None, detail).is_baseline
    for other in (
        Reading(NORMAL, NORMAL, detail, foreign=('secret disabled',)),
        Reading(NORMAL, BLOCKED, detail),
        Reading(SLOW, SLOW, detail),
        Reading(NORMAL, NORMAL),
        Reading(None, None, detail),
        Reading(NORMAL, NORMAL, detail, error='two lines match'),
    ):
        assert not other.is_baseline


def test_every_driver_names_a_line_by_what_it_sends():
    target = AccessTarget('1', 'ana', 'eth1.100', '192.0.2.7', '2001:db8::/56', cwmp_id='00AABB-X-1')
    named = {name: get_driver(name).identity(target) for name in available_drivers()}
    assert named.pop('linux') == 'circuit_id=eth1.100 ipv4=192.0.2.7 ipv6=2001:db8::/56'
    assert {named.pop(name) for name in ('acs_embedded', 'genieacs')} == {'cwmp_id=00AABB-X-1'}
    assert set(named.values()) == {'username=ana'}
    leased = AccessTarget('1', ipv4='192.0.2.7')
    assert get_driver('routeros').identity(leased) == 'ipv4=192.0.2.7'
    assert get_driver('radius').identity(leased) == ''
