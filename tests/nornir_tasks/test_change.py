import pytest

from nornir_tasks.change import AccessState, Mode, Reading

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
SLOW, SLOWER = AccessState.throttled(2000, 1000), AccessState.throttled(2000, 500)


def test_throttled_needs_both_rates_and_nothing_else_has_any():
    for wrong in ((Mode.THROTTLED,), (Mode.THROTTLED, 1000, None), (Mode.THROTTLED, 0, 10), (Mode.BLOCKED, 1, 1)):
        with pytest.raises(ValueError, match='rates'):
            AccessState(*wrong)


def test_harder_means_less_access():
    ladder = [NORMAL, SLOW, SLOWER, BLOCKED]
    for easier, state in enumerate(ladder):
        assert [state.is_harder_than(other) for other in ladder] == [index < easier for index in range(4)]


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
