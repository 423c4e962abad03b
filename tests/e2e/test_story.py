"""What `make serve` opens on: something of everything that the pages are for, come about by itself."""

import pytest

from dev import story
from dev.demo import state_of
from dev.stack import stack


@pytest.fixture(scope='module')
def told(postgres):
    with stack('netbox_story', with_lab=False, warm=True) as running:
        story.tell(running)
        yield running


def values(rows, name):
    return sorted(row[name]['value'] for row in rows)


def test_there_are_debts_at_each_stage_and_in_grace(told):
    services = told.services('bras-1')
    states = [state_of(services[f'bras-1-user{number}']) for number in (4, 8, 12)]
    assert states == ['throttled', 'blocked', 'normal']
    (owing,) = told.get('contracts', external_id='C-bras-1-12')
    assert owing['oldest_due_date']
    assert owing['stage'] is None


def test_a_hold_and_a_dispute_keep_their_lines_as_they_are(told):
    assert values(told.get('holds'), 'kind') == ['dispute', 'promise_to_pay']
    for name in ('bras-1-user1', 'bras-1-user2'):
        assert told.services('bras-1')[name]['live']['rate'] == [100_000, 50_000]


def test_one_line_was_refused_by_its_router_and_the_row_says_so(told):
    (failed,) = told.get('changes', outcome='failed')
    assert failed['target']['username'] == story.REFUSED
    assert 'not permitted' in failed['message']
    assert told.services('bras-2')[story.REFUSED]['live']['rate'] == [100_000, 50_000]


def test_who_paid_has_access_again(told):
    for name in ('bras-1-user3', 'bras-1-user7'):
        assert told.services('bras-1')[name]['live']['rate'] == [100_000, 50_000]


def test_a_plan_waits_for_approval_and_an_event_for_somebody_to_match_it(told):
    (waiting,) = told.get('runs', status='planned')
    assert waiting['name'].startswith('Tuesday')
    assert len(told.get('changes', run_id=waiting['id'])) == 8 + 1  # and the line that was refused
    (unmatched,) = told.get('billing-events', status='unmatched')
    assert unmatched['contract'] is None
