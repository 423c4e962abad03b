"""Each preset by dated cases, which stand in its own file for a lawyer to read; and from preset to policy."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import TestCase

from netbox_delinquency.models import Calendar, DelinquencyPolicy
from netbox_delinquency.policy.apply_preset import create_policy, differences
from netbox_delinquency.policy.calendar import Window, next_allowed, next_open_day, normal_days, public_holidays
from netbox_delinquency.policy.ladder import (
    NO_NOTICE,
    RESTRICTING,
    TOO_LITTLE,
    ContractFacts,
    LadderError,
    Rules,
    Stage,
    check_ladder,
    stand,
)  # fmt: skip
from netbox_delinquency.policy.presets import PresetError, load_preset, load_presets

ZONE = 'America/Sao_Paulo'
CASES = [
    pytest.param(preset, case, id=f'{preset.slug}-{case.get("notice") or case["due"]}')
    for preset in load_presets()
    for case in preset.cases
]


def at(day, hour=12, minute=0, zone=ZONE):
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone))


def next_day(closed):
    public = public_holidays('BR', '', range(2020, 2029))
    return partial(next_open_day, closed=closed.split(',') if closed else (), public=public)


def rules_of(preset):
    names = ('min_notice_days', 'throttle_is_suspension', 'min_arrears', 'start_from', 'start_until')
    given = {name: preset.rules[name] for name in names if name in preset.rules}
    return Rules(**given, next_start_day=next_day(preset.rules['no_start_days']))


def facts_of(preset, **values):
    stages = [
        Stage(number, raw['after_days'], raw['action'], raw['position'], raw['clock'])
        for number, raw in enumerate(preset.stages, 1)
    ]
    first = next(stage for stage in stages if stage.action in RESTRICTING)
    before = [stage for stage in stages if stage.position < first.position]
    defaults = {'zone': ZONE, 'stage': before[-1] if before else None, 'open_balance': Decimal(500)}
    return ContractFacts(**{
        'awaiting_clearing': False, 'feed_is_late': False, 'stages': stages, **defaults, **values,
    })  # fmt: skip


@pytest.mark.parametrize(('preset', 'case'), CASES)
def test_the_first_restriction_is_on_the_lawful_day_and_not_a_day_before(preset, case):
    told = case.get('notice')
    due = case.get('due') or told - timedelta(days=10)
    facts = facts_of(preset, oldest_due_date=due, notice_at=at(told) if told else None)
    rules = rules_of(preset)
    standing = stand(facts, rules, at(told or due + timedelta(days=8)))
    assert standing.next_action_on == case['earliest'], case['why']
    assert standing.next_stage.action in RESTRICTING
    opens = preset.rules.get('start_from') or time()
    start = at(case['earliest'], opens.hour, opens.minute)
    early = stand(facts, rules, start - timedelta(seconds=1)).stage
    assert early is None or early.action not in RESTRICTING
    assert stand(facts, rules, start).stage.action in RESTRICTING


@pytest.mark.parametrize('preset', [preset for preset in load_presets() if preset.rules.get('min_notice_days')],
                         ids=lambda preset: preset.slug)  # fmt: skip
def test_without_a_delivered_notice_nothing_is_ever_restricted(preset):
    facts = facts_of(preset, oldest_due_date=date(2020, 1, 1))
    for moment in (at(date(2026, 8, 5)), at(date(2028, 8, 8))):
        standing = stand(facts, rules_of(preset), moment)
        assert standing.note == NO_NOTICE
        assert standing.stage is None or standing.stage.action not in RESTRICTING


def test_below_the_german_minimum_nothing_is_done():
    preset = load_preset('de')
    facts = {'oldest_due_date': date(2026, 7, 1), 'notice_at': at(date(2026, 7, 10))}
    little = stand(facts_of(preset, **facts, open_balance=Decimal('99.99')), rules_of(preset), at(date(2026, 9, 1)))
    assert little.stage is None
    enough = stand(facts_of(preset, **facts, open_balance=Decimal(100)), rules_of(preset), at(date(2026, 9, 1)))
    assert enough.stage.action == 'block'
    rung = (Stage(1, 1, 'block', 1, min_arrears=Decimal(50)),)
    assert stand(facts_of(preset, **facts) and ContractFacts(date(2026, 7, 1), False, False, rung, None,
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
        (None, True, [(1, 'due', 10, 'block'), (2, 'due', 15, 'throttle')], 'softer'),
        (None, True, [(1, 'previous', 10, 'block')], 'no previous'),
        (15, True, [(1, 'notice', 14, 'throttle')], 'skips the lawful 15'),
        (None, True, [(1, 'notice', 14, 'block')], 'asks for none'),
    ],
)
def test_a_ladder_that_is_none_is_refused_with_the_rule(days, suspension, stages, why):
    rungs = [Stage(n, after, action, n, clock) for n, clock, after, action in stages]
    with pytest.raises(LadderError, match=why):
        check_ladder(days, suspension, rungs)


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
