"""Each preset by dated cases, which stand in its own file for a lawyer to read; and from preset to policy."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, partial
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import TestCase
from hypothesis import given
from hypothesis import strategies as st

from dev.preset_pages import page, path_of
from netbox_delinquency.models import Calendar, DelinquencyPolicy
from netbox_delinquency.policy.actions import is_restricting
from netbox_delinquency.policy.apply_preset import create_policy, differences
from netbox_delinquency.policy.calendar import Window, next_allowed, next_open_day, normal_days, public_holidays
from netbox_delinquency.policy.presets import PresetError, load_preset, load_presets
from netbox_delinquency.policy.stages import (
    NO_NOTICE,
    TOO_LITTLE,
    ContractFacts,
    Rules,
    Stage,
    StageError,
    check_stages,
    dunning_position,
)  # fmt: skip

ZONE = 'America/Sao_Paulo'
CASES = [
    pytest.param(preset, case, id=f'{preset.slug}-{number}')
    for preset in load_presets()
    for number, case in enumerate(preset.cases, 1)
]


def at(day, hour=12, minute=0, zone=ZONE):
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone))


@cache
def next_day(closed):
    public = public_holidays('BR', '', range(2020, 2029))
    return partial(next_open_day, closed=closed.split(',') if closed else (), public=public)


def rules_of(preset):
    names = (
        'min_notice_days', 'throttle_is_suspension', 'min_arrears', 'start_from', 'start_until', 'contact_from',
        'contact_until',
    )  # fmt: skip
    given = {name: preset.rules[name] for name in names if name in preset.rules}
    return Rules(
        **given,
        next_start_day=next_day(preset.rules['no_start_days']),
        next_contact_day=next_day(preset.rules.get('no_contact_days', '')),
    )


def facts_of(preset, step=None, **values):
    """A contract one stage below the step (below the first restriction, where none is named)."""
    stages = [
        Stage(number, raw['after_days'], raw['action'], raw['position'], raw['clock'])
        for number, raw in enumerate(preset.stages, 1)
    ]
    first = next(stage for stage in stages if stage.action == step or (not step and is_restricting(stage.action)))
    before = [stage for stage in stages if stage.position < first.position]
    defaults = {'zone': ZONE, 'stage': before[-1] if before else None, 'open_balance': Decimal(500)}
    return ContractFacts(**{
        'awaiting_clearing': False, 'feed_is_late': False, 'stages': stages, **defaults, **values,
    })  # fmt: skip


def weight(stage):
    return 0 if stage is None else stage.position


@pytest.mark.parametrize(('preset', 'case'), CASES)
def test_a_step_is_taken_on_the_day_of_the_case_and_not_a_second_before(preset, case):
    zone = case.get('zone', ZONE)
    since, told = case.get('since'), case.get('notice')
    if since:
        # The notice came long before the stage that is counted from.
        told = since - timedelta(days=40)
    due = case.get('due') or told - timedelta(days=10)
    facts = facts_of(
        preset, case.get('stage'), oldest_due_date=due, notice_at=at(told, zone=zone) if told else None, zone=zone,
        stage_since=at(since or told or due, zone=zone), took_effect_at=at(since or told or due, zone=zone),
        open_balance=Decimal(str(case.get('balance', 500))),
    )  # fmt: skip
    rules, seen = rules_of(preset), at(since or told or due, zone=zone)
    if case['earliest'] == 'never':
        for days in range(0, 800, 7):
            stage = dunning_position(facts, rules, seen + timedelta(days=days)).stage
            assert stage is None or not is_restricting(stage.action), case['why']
        return
    first = next(stage for stage in preset.stages if stage['action'] == case.get('stage', 'throttle'))
    opens = preset.rules.get('start_from' if is_restricting(first['action']) else 'contact_from') or time()
    start = at(case['earliest'], opens.hour, opens.minute, zone=zone)
    before = dunning_position(facts, rules, start - timedelta(seconds=1))
    assert (before.next_stage.action, before.next_action_on) == (first['action'], case['earliest']), case['why']
    assert weight(before.stage) < first['position'] <= weight(dunning_position(facts, rules, start).stage)
    if 'stage' not in case:
        # It is known from the notice on, and told.
        told = seen if told else seen + timedelta(days=8)
        assert dunning_position(facts, rules, told).next_action_on == case['earliest'], case['why']


@pytest.mark.parametrize('preset', load_presets(), ids=lambda preset: preset.slug)
def test_every_preset_has_a_page_that_says_what_its_file_says(preset):
    assert path_of(preset).read_text(encoding='utf-8') == page(preset), 'run: python -m dev.preset_pages'


@pytest.mark.parametrize('closed', ['', 'fri,sat,sun,holiday,holiday_eve'])
@pytest.mark.parametrize('zone', [ZONE, 'America/New_York', 'Europe/Lisbon', 'Australia/Lord_Howe'])
@given(minutes=st.integers(0, 366 * 1440), start=st.integers(0, 20 * 4), length=st.integers(1, 3 * 4))
def test_the_next_allowed_moment_is_the_first_that_is_allowed(zone, closed, minutes, start, length):
    moment = datetime(2026, 9, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    window = Window(zone, time(start // 4, start % 4 * 15), time((start + length) // 4, (start + length) % 4 * 15))
    days, found = next_day(closed), next_allowed(moment, window, next_day(closed))

    def is_allowed(at):
        local = at.astimezone(ZoneInfo(zone))
        return window.start <= local.time() < window.until and days(local.date()) == local.date()

    if is_allowed(moment):
        assert found == moment
        return
    # Only an hour that a clock change leaves out begins outside of its window, and then right after it.
    local = found.astimezone(ZoneInfo(zone))
    assert days(local.date()) == local.date()
    assert is_allowed(found) or local.utcoffset() != (local - timedelta(hours=3)).utcoffset()
    passed = (moment + timedelta(minutes=15 * step) for step in range(int((found - moment) / timedelta(minutes=15))))
    # Of an hour that comes twice it is the second.
    early = [at for at in passed if at < found and is_allowed(at)]
    assert all(found - at <= timedelta(hours=2) for at in early)


@pytest.mark.parametrize('preset', [preset for preset in load_presets() if preset.rules.get('min_notice_days')],
                         ids=lambda preset: preset.slug)  # fmt: skip
def test_without_a_delivered_notice_nothing_is_ever_restricted(preset):
    facts = facts_of(preset, oldest_due_date=date(2020, 1, 1))
    for moment in (at(date(2026, 8, 5)), at(date(2028, 8, 8))):
        position = dunning_position(facts, rules_of(preset), moment)
        assert position.note == NO_NOTICE
        assert position.stage is None or not is_restricting(position.stage.action)


def test_below_the_german_minimum_nothing_is_done():
    preset = load_preset('de')
    facts = {'oldest_due_date': date(2026, 7, 1), 'notice_at': at(date(2026, 7, 10))}
    rules, now = rules_of(preset), at(date(2026, 9, 1))
    little = dunning_position(facts_of(preset, **facts, open_balance=Decimal('99.99')), rules, now)
    assert little.stage is None
    enough = dunning_position(facts_of(preset, **facts, open_balance=Decimal(100)), rules, now)
    assert enough.stage.action == 'block'
    stage = (Stage(1, 1, 'block', 1, min_arrears=Decimal(50)),)
    assert dunning_position(facts_of(preset, **facts) and ContractFacts(date(2026, 7, 1), False, False, stage, None,
                 open_balance=Decimal(49)), Rules(), at(date(2026, 9, 1))).note == TOO_LITTLE  # fmt: skip


@pytest.mark.parametrize(
    ('zone', 'moment', 'start', 'expected'),
    [
        # New York: 2:30 is left out on 14 March 2027, and 1:30 comes twice on 7 November.
        ('America/New_York', '2027-03-14T05:00:00+00:00', time(2, 30), '2027-03-14T07:30:00+00:00'),
        ('America/New_York', '2027-11-07T04:00:00+00:00', time(1, 30), '2027-11-07T06:30:00+00:00'),
        ('Europe/Lisbon', '2027-03-28T00:30:00+00:00', time(9), '2027-03-28T08:00:00+00:00'),
        ('America/Sao_Paulo', '2026-12-31T20:30:00+00:00', time(9), '2027-01-01T12:00:00+00:00'),
    ],
)
def test_the_next_allowed_moment_is_right_over_clock_changes_and_year_ends(zone, moment, start, expected):
    window = Window(zone, start, time(17))
    found = next_allowed(datetime.fromisoformat(moment), window, lambda day: day)
    assert found == datetime.fromisoformat(expected)
    assert next_allowed(found, window, lambda day: day) == found


@pytest.mark.parametrize(
    ('days', 'suspension', 'stages', 'why'),
    [
        (None, True, [(1, 'due', 15, 'throttle'), (2, 'due', 15, 'block')], 'already has a stage on that day'),
        (None, True, [(1, 'due', 30, 'throttle'), (2, 'due', 15, 'block')], 'out of order'),
        (None, True, [(1, 'due', 10, 'block'), (2, 'due', 15, 'throttle')], 'restricts less'),
        (None, True, [(1, 'previous', 10, 'block')], 'no previous'),
        (15, True, [(1, 'notice', 30, 'throttle'), (2, 'notice', 15, 'block')], 'out of order'),
        (15, True, [(1, 'notice', 15, 'throttle'), (2, 'notice', 15, 'block')], 'already has a stage on that day'),
        (15, True, [(1, 'notice', 14, 'throttle')], 'skips the lawful 15'),
        (None, True, [(1, 'notice', 14, 'block')], 'asks for none'),
    ],
)
def test_stages_that_contradict_each_other_are_refused_with_the_rule(days, suspension, stages, why):
    given = [Stage(n, after, action, n, clock) for n, clock, after, action in stages]
    with pytest.raises(StageError, match=why):
        check_stages(days, suspension, given)


def test_days_have_one_spelling_and_unknown_ones_are_refused():
    assert normal_days(' Sun, holiday_eve,fri ') == 'fri,sun,holiday_eve'
    with pytest.raises(ValueError, match='there is no day domingo'):
        normal_days('domingo')
    with pytest.raises(ValueError, match='nothing could ever start'):
        normal_days('mon,tue,wed,thu,fri,sat,sun')


def test_unknown_regions_are_refused():
    with pytest.raises(ValueError, match='ISO 3166-1'):
        public_holidays('XX', '', [2026])
    with pytest.raises(ValueError, match='known are AC'):
        public_holidays('BR', 'XX', [2026])


class PolicyFromPresetTest(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.calendar = Calendar.objects.create(name='SP', country='BR', subdivision='SP', time_zone=ZONE)

    def test_every_preset_makes_a_policy_like_itself(self):
        for preset in load_presets():
            policy = create_policy(preset, self.calendar)
            policy.refresh_from_db()
            self.assertEqual(differences(policy, preset), [], preset.slug)

    def test_a_preset_with_closed_days_asks_for_a_calendar(self):
        with self.assertRaisesMessage(ValidationError, 'name a calendar'):
            create_policy(load_preset('anatel_765'), None)
        self.assertFalse(DelinquencyPolicy.objects.exists())

    def test_a_change_shows_as_a_difference_and_changes_nothing(self):
        call_command('delinquency_presets', 'anatel_765', '--calendar', 'SP', verbosity=0)
        policy = DelinquencyPolicy.objects.get()
        DelinquencyPolicy.objects.update(min_notice_days=20, preset_version=0)
        policy.refresh_from_db()
        self.assertEqual(
            [(found.field, found.policy, found.preset) for found in differences(policy, load_preset('anatel_765'))],
            [('min_notice_days', '20', '15'), ('preset_version', '0', '1')],
        )
        with self.assertRaisesMessage(CommandError, 'nothing was changed'):
            call_command('delinquency_presets', '--diff')
        policy.refresh_from_db()
        self.assertEqual(policy.min_notice_days, 20)

    def test_an_unknown_preset_or_calendar_is_refused(self):
        with self.assertRaises(PresetError):
            load_preset('../settings')
        with self.assertRaisesMessage(CommandError, 'no calendar'):
            call_command('delinquency_presets', 'de', '--calendar', 'nowhere')
