"""What we took we owe back, and nothing else: every row of that promise, at the boxes' own state, through NetBox."""

from datetime import timedelta
from unittest import mock

from core.models import Job, ObjectType
from django.core.exceptions import ValidationError
from django.utils import timezone
from extras.choices import EventRuleActionChoices
from extras.models import EventRule, Webhook
from ipam.models import IPAddress
from users.models import User
from utilities.exceptions import AbortRequest
from utilities.testing import create_test_device

from netbox_delinquency.choices import ContractStatusChoices, LiftedChoices, LineStatusChoices, RunStatusChoices
from netbox_delinquency.errors import RunRefusedError
from netbox_delinquency.jobs.system import Evaluate
from netbox_delinquency.models import (
    AccessLine,
    Contract,
    DelinquencyPolicy,
    EnforcementChange,
    EnforcementPoint,
    EnforcementRun,
    EnforcementSettings,
    Restriction,
)
from netbox_delinquency.runs.approval import approve_run, plan_hash
from netbox_delinquency.runs.checks import note_check
from netbox_delinquency.runs.journal import DatabaseJournal
from netbox_delinquency.runs.lifecycle import begin_run
from netbox_delinquency.runs.lifts import adopt, let_go, lift, note_owed
from netbox_delinquency.runs.ownership import note_attempts
from netbox_delinquency.runs.preview import preview_run
from netbox_delinquency.runs.reconcile import owed_where_silent, reconcile_point
from netbox_delinquency.workflow import evaluate_all
from nornir_tasks.change import ChangeResult, Outcome, Reading

from .engine import execute_run
from .factories import make_contract, make_point
from .ownership import BLOCKED, NORMAL, THROTTLED, WorldTestCase


class NamesTest(WorldTestCase):
    def test_usernames_swapped_while_a_run_is_under_way_cut_nobody_who_pays(self):
        first, ana, bob = (self.world.subscriber(name) for name in ('first', 'ana', 'bob'))
        self.world.owe(first)
        self.world.owe(ana)

        def swap(name):
            self.world.box().after_row = lambda name: None
            AccessLine.objects.filter(pk=ana.pk).update(username='-')
            for line, username in ((bob, 'ana'), (ana, 'bob')):
                line = AccessLine.objects.get(pk=line.pk)
                line.username = username
                line.save()

        self.world.box().after_row = swap
        (run,) = [run for run in self.world.work() if run.kind == 'enforce']
        outcomes = dict(run.changes.values_list('identity', 'outcome'))
        self.assertEqual(outcomes, {'username=first': 'applied', 'username=ana': 'skipped'})
        self.assertIn('renamed', run.changes.get(identity='username=ana').message)
        self.assertFree('ana')
        self.assertFree('bob')
        self.world.work()
        self.assertFree('ana')  # bob's login now, and he pays
        self.assertCut('bob')  # hers, and she does not

    def test_the_identity_is_part_of_what_is_approved(self):
        ana = self.world.subscriber('ana')
        self.world.owe(ana)
        self.world.policy.auto_approve = False
        self.world.policy.save()
        evaluate_all(timezone.now())
        run = EnforcementRun.objects.get()
        self.assertEqual(run.changes.get().identity, 'username=ana')
        EnforcementChange.objects.update(identity='username=bob')
        with self.assertRaisesMessage(RunRefusedError, 'are not those of the plan you saw'):
            approve_run(run, run.plan_hash, timezone.now(), approver=User.objects.create_user('engineer'))

    def test_a_line_renamed_while_blocked_has_neither_login_free_until_it_pays_and_then_both(self):
        ana = self.blocked('ana')
        self.world.box().add('ana2')
        ana.username = 'ana2'
        ana.save()
        self.assertTrue(self.line('ana2').unverified, 'the new place is not known until it is read')
        self.assertIsNone(self.line('ana2').observed)
        self.world.work()
        self.assertCut('ana')
        self.assertCut('ana2')
        self.assertEqual(len(self.open_restrictions()), 2)
        self.world.pay(ana)
        self.world.work()
        self.assertFree('ana')
        self.assertFree('ana2')
        self.assertEqual(self.open_restrictions(), [])
        self.assertEqual((self.line('ana2').observed, self.line('ana2').unverified), (NORMAL, False))

    def test_a_login_that_was_renamed_on_the_box_too_is_closed_as_gone(self):
        ana = self.blocked('ana')
        self.world.box().remove('ana')
        self.world.box().add('ana2')
        ana.username = 'ana2'
        ana.save()
        self.world.pay(ana)
        runs = self.world.work()
        self.assertEqual([run.status for run in runs], ['completed'])
        self.assertEqual(Restriction.objects.get().lifted_how, LiftedChoices.GONE)
        self.assertFree('ana2')

    def test_nothing_is_believed_of_a_line_that_was_renamed_before_its_row_was_closed(self):
        ana = self.world.subscriber('ana')
        self.world.owe(ana)
        self.world.box().add('ana2')

        def rename(name):
            line = AccessLine.objects.get(pk=ana.pk)
            line.username = 'ana2'
            line.save()
            self.world.box().after_row = lambda name: None

        self.world.box().after_row = rename
        self.world.work()
        line = self.line('ana2')
        self.assertEqual((line.observed, line.unverified), (None, True))
        self.assertIn(('bras-1', 'username=ana'), self.open_restrictions())
        self.world.pay(ana)
        self.world.work()
        self.assertFree('ana')
        self.assertEqual(self.open_restrictions(), [])


class PlacesTest(WorldTestCase):
    def test_a_line_that_moved_while_blocked_is_free_at_both_boxes_once_it_paid(self):
        ana = self.blocked('ana')
        self.world.box(1).add('ana')
        ana.bras = self.world.points[1]
        ana.save()
        self.world.work()
        self.assertCut('ana', 0)
        self.assertCut('ana', 1)
        self.world.pay(ana)
        self.world.work()
        self.assertFree('ana', 0)
        self.assertFree('ana', 1)

    def test_a_box_that_got_another_address_gives_back_what_was_taken_at_the_old_one(self):
        ana = self.blocked('ana')
        self.world.boxes['10.0.0.9'] = self.world.boxes.pop('10.0.0.1')
        point = EnforcementPoint.objects.get(name='bras-1')
        point.address = '10.0.0.9'
        point.save()
        self.assertTrue(self.line('ana').unverified, 'behind another address there may be another box')
        self.world.pay(ana)
        self.world.work()
        self.assertFree('ana')
        self.assertEqual(self.open_restrictions(), [])

    def test_what_is_not_at_a_new_address_is_owed_and_not_closed_as_gone(self):
        ana = self.blocked('ana')
        old = self.world.boxes['10.0.0.1']
        point = EnforcementPoint.objects.get(name='bras-1')
        point.address = '10.0.0.2'
        point.save()
        self.world.pay(ana)
        self.world.work()
        restriction = Restriction.objects.open().get()
        self.assertIn('taken at 10.0.0.1', restriction.finding)
        point.address = '10.0.0.1'
        point.save()
        self.world.work()
        self.assertEqual(old.stored['ana'], NORMAL)
        self.assertEqual(self.open_restrictions(), [])

    def test_a_restore_at_a_point_in_maintenance_is_owed_and_done_when_it_is_back(self):
        ana = self.blocked('ana')
        point = EnforcementPoint.objects.get(name='bras-1')
        point.status = 'maintenance'
        point.save()
        self.world.pay(ana)
        self.assertEqual(self.world.work(), [], 'no run that could only be skipped')
        self.assertIsNotNone(Restriction.objects.get().owed_since)
        point.status = 'active'
        point.save()
        self.world.work()
        self.assertFree('ana')

    def test_a_restore_at_a_dead_point_is_one_failed_run_and_done_once_it_answers(self):
        ana = self.blocked('ana')
        self.world.box().dead = True
        self.world.pay(ana)
        self.assertEqual([run.status for run in self.world.work()], ['failed'])
        for _ in range(3):
            self.world.reconcile()
            self.assertEqual(self.world.work(), [])
        restriction = Restriction.objects.open().get()
        self.assertIn('does not answer', restriction.finding)
        self.assertIsNotNone(restriction.owed_since)
        self.world.box().dead = False
        self.world.reconcile()
        self.assertFree('ana')
        self.assertEqual(self.open_restrictions(), [])

    def test_what_is_owed_at_a_silent_point_is_read_at_each_evaluation_and_given_back_once_it_answers(self):
        ana, bob = self.blocked('ana'), self.blocked('bob')
        bob.status = 'retired'
        bob.save()
        self.world.subscriber('cid')
        self.world.box().dead = True
        for line in (ana, bob):
            self.world.pay(line)
        self.world.work()
        now = timezone.now()
        Restriction.objects.update(retry_at=now + timedelta(hours=16), attempts=4)  # it has been silent for long
        ((point, owed),) = owed_where_silent(now).items()
        self.assertEqual(len(owed), 2)
        with mock.patch('netbox_delinquency.jobs.points.enqueue_reading') as enqueued:
            Evaluate(Job(name='evaluate')).run()
        self.assertEqual(enqueued.call_args.kwargs['restrictions'], owed)
        self.world.box().dead = False
        reconcile_point(point, restrictions=owed)
        self.world.run_all()
        self.world.work()
        for name in ('ana', 'bob'):
            self.assertFree(name)
        self.assertEqual((self.open_restrictions(), owed_where_silent(now)), ([], {}))
        self.assertIsNone(self.line('cid').observed)  # nobody else was asked about

    def test_what_answered_and_was_not_lifted_is_not_read_at_each_evaluation(self):
        ana = self.blocked('ana')
        self.world.box().half_applies = {'ana'}
        self.world.pay(ana)
        self.world.work()
        self.assertIsNotNone(Restriction.objects.open().get().retry_at)
        self.assertEqual(owed_where_silent(timezone.now()), {})

    def test_a_refusal_that_repeats_is_one_finding_and_not_a_failed_run_an_hour(self):
        ana = self.blocked('ana')
        self.world.box().refuses = {'ana'}
        self.world.pay(ana)
        self.world.work()
        for _ in range(3):
            self.world.reconcile()
            self.world.work()
        self.assertEqual(EnforcementRun.objects.filter(status='failed').count(), 1)
        restriction = Restriction.objects.open().get()
        self.assertEqual(restriction.finding, 'refused by the point')
        self.assertTrue(restriction.waits_for_person)
        self.world.box().refuses = set()
        EnforcementPoint.objects.get(name='bras-1').save()  # somebody put it right
        self.world.work()
        self.assertFree('ana')

    def test_a_refusal_without_a_reason_is_noted_for_whatever_process_comes_next(self):
        self.blocked('ana')
        held = Restriction.objects.get()
        self.assertNotIn('unexplained', held.noted)
        result = ChangeResult('row', Outcome.FAILED, after=Reading(detail={'unexplained': True}))
        note_attempts([(held.change, result)], {held.place: held}, timezone.now())
        target = AccessLine.objects.get(username='ana').as_target('bras')
        self.assertTrue(target.restricted['unexplained'])

    def test_what_is_owed_for_longer_than_the_policy_allows_is_told_once(self):
        ana = self.blocked('ana')
        self.world.box().dead = True
        self.world.pay(ana)
        self.world.work()
        rule = EventRule.objects.create(
            name='late', event_types=['restore.late'], action_type=EventRuleActionChoices.WEBHOOK,
            action_object_type=ObjectType.objects.get_for_model(Webhook),
            action_object_id=Webhook.objects.create(name='x', payload_url='http://192.0.2.1/').pk,
        )  # fmt: skip
        rule.object_types.add(ObjectType.objects.get_for_model(Restriction))
        with mock.patch('netbox_delinquency.events._flush') as flush, self.captureOnCommitCallbacks(execute=True):
            self.assertEqual(note_owed(timezone.now() + timedelta(hours=23)), 0)
            self.assertEqual(note_owed(timezone.now() + timedelta(hours=25)), 1)
            self.assertEqual(note_owed(timezone.now() + timedelta(hours=26)), 0)
        self.assertEqual([context['event_type'] for (contexts,), _ in flush.call_args_list for context in contexts],
                         ['restore.late'])  # fmt: skip

    def test_a_point_renamed_while_it_is_worked_closes_no_row_as_unknown(self):
        for name in ('ana', 'bob'):
            self.world.owe(self.world.subscriber(name))

        def rename(name):
            point = EnforcementPoint.objects.get(pk=self.world.points[0].pk)
            point.name = 'core-1'
            point.save()

        self.world.box().after_row = rename
        (run,) = self.world.work()
        self.assertEqual(set(run.changes.values_list('outcome', flat=True)), {'applied'})

    def test_a_point_where_something_is_open_is_not_deleted_nor_retired_nor_given_another_driver(self):
        ana = self.blocked('ana')
        ana.delete()
        point = EnforcementPoint.objects.get(name='bras-1')
        Restriction.objects.update(change=None)  # the log of its rows is older than it is kept
        EnforcementChange.objects.filter(point=point)._raw_delete('default')
        with self.assertRaisesMessage(AbortRequest, 'restrictions of ours are still open'):
            point.delete()
        for field, value in (('status', 'retired'), ('driver', 'radius')):
            changed = EnforcementPoint.objects.get(name='bras-1')
            setattr(changed, field, value)
            with self.assertRaisesMessage(ValidationError, 'still open here'):
                changed.validate_open_restrictions()


class OwnersTest(WorldTestCase):
    def test_a_retired_line_of_who_owes_nothing_any_more_is_free(self):
        ana = self.blocked('ana')
        ana.status = LineStatusChoices.RETIRED
        ana.save()
        self.world.work()
        self.assertCut('ana')
        self.world.pay(ana)
        self.world.work()
        self.assertFree('ana')

    def test_a_deleted_line_of_who_owes_nothing_any_more_is_free(self):
        ana = self.blocked('ana')
        contract = ana.contract
        ana.delete()
        self.world.work()
        self.assertCut('ana')
        self.assertEqual(Restriction.objects.get().line, None)
        Contract.objects.filter(pk=contract.pk).update(oldest_due_date=None)
        self.world.work()
        self.assertFree('ana')

    def test_a_line_that_a_run_is_about_to_change_is_not_deleted_under_it(self):
        ana = self.world.subscriber('ana')
        self.world.owe(ana)
        evaluate_all(timezone.now())
        with self.assertRaisesMessage(AbortRequest, 'is about to change line ana'):
            ana.delete()

    def test_who_leaves_gets_nothing_back_and_who_comes_next_inherits_nothing(self):
        ana = self.blocked('ana')
        contract = Contract.objects.get(pk=ana.contract_id)
        contract.status = ContractStatusChoices.TERMINATED
        contract.save()
        ana.refresh_from_db()
        self.assertEqual(ana.status, LineStatusChoices.RETIRED, "the line's life follows")
        self.world.pay(ana)
        self.world.work()
        self.world.reconcile()
        self.assertCut('ana')
        self.assertEqual(Restriction.objects.left_behind().count(), 1)
        heir = self.world.subscriber('ana')
        self.world.run_all()
        self.assertFree('ana')
        self.assertEqual(self.open_restrictions(), [])
        heir.refresh_from_db()
        self.assertEqual(heir.observed, NORMAL)

    def test_an_identity_given_to_a_planned_line_is_free_before_that_is_active(self):
        ana = self.blocked('ana')
        ana.status = LineStatusChoices.RETIRED
        ana.save()
        self.world.subscriber('ana', status='planned')
        self.world.work()
        self.assertFree('ana')

    def test_the_same_debtor_gets_nothing_back_by_a_new_line_of_the_same_name(self):
        ana = self.blocked('ana')
        contract = ana.contract
        ana.delete()
        self.world.subscriber('ana', contract=contract)
        self.world.work()
        self.assertCut('ana')

    def test_a_line_given_to_a_contract_that_owes_nothing_is_free_at_once(self):
        ana = self.blocked('ana')
        ana.contract = make_contract(policy=self.world.policy, source=self.world.source)
        ana.save()
        self.world.run_all()
        self.assertFree('ana')

    def test_a_person_lifts_what_was_left_behind_and_nobody_else_does(self):
        ana = self.blocked('ana')
        contract = Contract.objects.get(pk=ana.contract_id)
        contract.status = ContractStatusChoices.TERMINATED
        contract.save()
        left = Restriction.objects.left_behind()
        lift(left, User.objects.create_user('engineer'), timezone.now())
        self.world.run_all()
        self.assertFree('ana')
        self.assertEqual(self.open_restrictions(), [])

    def test_a_present_restriction_is_not_lifted_past_the_policy(self):
        self.blocked('ana')
        with self.assertRaisesMessage(RunRefusedError, 'none of these is left behind'):
            lift(Restriction.objects.open(), User.objects.create_user('engineer'), timezone.now())

    def test_what_a_person_lets_go_of_is_not_lifted_any_more(self):
        ana = self.blocked('ana')
        self.assertEqual(let_go(Restriction.objects.all(), timezone.now()), 1)
        self.world.pay(ana)
        self.world.work()
        self.assertCut('ana')
        self.world.reconcile()
        self.assertTrue(self.line('ana').is_foreign)

    def test_a_contract_that_loses_its_policy_has_its_access_back(self):
        ana = self.blocked('ana')
        Contract.objects.filter(pk=ana.contract_id).update(policy=None)
        self.world.work()
        self.assertFree('ana')

    def test_a_throttled_line_whose_plan_changes_is_throttled_by_the_new_plan_and_then_free(self):
        ana = self.world.subscriber('ana')
        self.world.owe(ana, days=20)
        self.world.work()
        self.assertEqual(self.world.box().stored['ana'], THROTTLED)
        plan = ana.contract.plan
        plan.pk, plan.name, plan.throttled_down_kbps = None, 'smaller', 800
        plan._state.adding = True
        plan.save()
        Contract.objects.filter(pk=ana.contract_id).update(plan=plan)
        self.world.work()
        self.assertEqual(self.world.box().stored['ana'].down_kbps, 800)
        self.assertEqual(len(self.open_restrictions()), 1)
        self.world.pay(ana)
        self.world.work()
        self.assertFree('ana')

    def test_the_baseline_is_what_was_read_just_before_and_stays_with_the_restriction(self):
        self.blocked('ana')
        restriction = Restriction.objects.get()
        self.assertEqual(restriction.baseline, {'was': 'normal'})
        row = EnforcementChange.objects.get(pk=restriction.change_number)
        self.assertEqual((restriction.change, restriction.run_number), (row, row.run_id))
        self.assertEqual(self.line('ana').as_target().restricted['point'], {})


class ForeignTest(WorldTestCase):
    def test_first_contact_gives_nobody_back_whom_another_has_blocked(self):
        """An ERP's script has blocked some lines: in our way, or in its own. Nothing of that is ours to undo."""
        debtor, other, free = (self.world.subscriber(name) for name in ('debtor', 'other', 'free'))
        self.world.subscriber('nobody', contract=make_contract(source=self.world.source))  # without a policy
        box = self.world.box()
        box.stored['debtor'] = box.live['debtor'] = box.stored['nobody'] = box.live['nobody'] = BLOCKED
        box.foreign['other'] = ('list bloqueados',)
        for _ in range(3):
            (report, _) = self.world.reconcile()
            self.assertEqual(report.foreign, 3)
            self.assertEqual(self.world.work(), [])
        self.assertEqual(box.sent, [])
        self.assertEqual(set(AccessLine.objects.foreign()), {debtor, other, self.line('nobody')})
        other.refresh_from_db()
        self.assertEqual((other.observed_mode, other.foreign), ('foreign', ['list bloqueados']))
        free.refresh_from_db()
        self.assertEqual((free.observed_mode, free.foreign), ('normal', []))
        for line in AccessLine.objects.foreign():
            self.assertEqual(line.baseline, {})

    def test_ours_on_top_of_a_foreign_block_is_lifted_and_theirs_stays(self):
        self.world.subscriber('ana')
        self.world.box().foreign['ana'] = ('secret disabled',)
        self.world.owe(self.line('ana'))
        self.world.work()
        self.assertCut('ana')
        self.assertEqual(Restriction.objects.get().baseline, {}, 'never from a state that another restricts')
        self.assertEqual(Restriction.objects.get().noted['before'], {'was': 'normal'})
        self.world.pay(self.line('ana'))
        rule = EventRule.objects.create(
            name='foreign', event_types=['line.foreign'], action_type=EventRuleActionChoices.WEBHOOK,
            action_object_type=ObjectType.objects.get_for_model(Webhook),
            action_object_id=Webhook.objects.create(name='x', payload_url='http://192.0.2.1/').pk,
        )  # fmt: skip
        rule.object_types.add(ObjectType.objects.get_for_model(AccessLine))
        with mock.patch('netbox_delinquency.events._flush') as flush, self.captureOnCommitCallbacks(execute=True):
            self.world.work()
        self.assertEqual(flush.call_args.args[0][0]['event_type'], 'line.foreign')
        self.assertFree('ana')
        self.assertEqual(self.world.box().foreign['ana'], ('secret disabled',))
        line = self.line('ana')
        self.assertEqual((line.observed_mode, line.foreign), ('foreign', ['secret disabled']))
        self.assertEqual(self.open_restrictions(), [])

    def test_what_another_restricts_as_we_do_is_made_no_harder(self):
        ana = self.world.subscriber('ana')
        box = self.world.box()
        box.stored['ana'] = box.live['ana'] = THROTTLED
        self.world.owe(ana)
        (run,) = self.world.work()
        self.assertIn('foreign', run.changes.get().message)
        self.assertEqual((box.sent, self.open_restrictions()), ([], []))

    def test_a_person_adopts_a_foreign_block_and_it_is_given_back_as_policy_wants(self):
        self.world.subscriber('ana')
        box = self.world.box()
        box.stored['ana'] = box.live['ana'] = BLOCKED
        self.world.reconcile()
        (restriction,) = adopt(AccessLine.objects.all(), 'engineer', timezone.now())
        self.assertEqual((restriction.adopted_by, restriction.state), ('engineer', BLOCKED))
        self.world.work()
        self.assertFree('ana')


class CapsTest(WorldTestCase):
    def test_four_plans_of_seven_are_capped_like_one_of_twenty_eight(self):
        EnforcementSettings(waves='rest', soak_seconds=0, max_share_percent=30, min_rows=1000).save()
        lines = [self.world.subscriber(f'u{number:02}') for number in range(25)]
        approved = []
        for start in range(0, 21, 7):
            for line in lines[start : start + 7]:
                self.world.owe(line)
            approved += [run for run in self.world.work() if run.status == RunStatusChoices.COMPLETED]
        self.assertEqual(len(approved), 1, '7 of 25 are 28 %, and 14 are not within 30')
        held = EnforcementRun.objects.filter(status=RunStatusChoices.PLANNED).earliest('pk')
        self.assertIn('it comes to 56', held.stop_reason.replace('.0', ''))
        self.assertEqual(Restriction.objects.open().count(), 7)

    def test_no_row_is_added_to_a_run_that_was_approved(self):
        self.world.policy.auto_approve = False
        self.world.policy.save()
        self.world.owe(self.world.subscriber('ana'))
        evaluate_all(timezone.now())
        run = EnforcementRun.objects.get()
        late = EnforcementChange(run=run, line=self.world.subscriber('bob'), desired_mode='blocked')
        late.full_clean()
        approve_run(run, plan_hash(run), timezone.now(), approver=User.objects.create_user('engineer'))
        with self.assertRaisesMessage(AbortRequest, 'its rows no longer change'):
            late.save()


class ModesTest(WorldTestCase):
    def mode(self, point='enforce', policy='enforce'):
        EnforcementPoint.objects.update(mode=point)
        self.world.policy.mode = policy
        self.world.policy.save()

    def test_a_new_point_begins_in_observe(self):
        self.assertEqual(EnforcementPoint(name='x', driver='routeros').mode, 'observe')

    def test_observing_takes_nothing_and_the_lesser_of_point_and_policy_holds(self):
        self.world.owe(self.world.subscriber('ana'))
        for modes in ({'point': 'observe'}, {'policy': 'observe'}, {'point': 'observe', 'policy': 'assist'}):
            self.mode(**modes)
            self.assertEqual(self.world.work(), [], modes)
        self.assertEqual(self.world.box().sent, [])

    def test_observing_gives_back_what_is_ours(self):
        ana = self.blocked('ana')
        self.mode(point='observe')
        self.world.pay(ana)
        self.world.work()
        self.assertFree('ana')

    def test_a_run_that_was_approved_before_is_not_sent_once_a_point_only_observes(self):
        self.world.owe(self.world.subscriber('ana'))
        evaluate_all(timezone.now())
        self.mode(point='observe')
        self.world.run_all()
        self.assertEqual(self.world.box().sent, [])
        self.assertIn('observe', EnforcementChange.objects.get().message)

    def test_assisting_waits_for_a_person_whatever_the_policy_approves(self):
        self.world.owe(self.world.subscriber('ana'))
        self.mode(point='assist')
        (run,) = self.world.work()
        self.assertEqual((run.status, self.world.box().sent), (RunStatusChoices.PLANNED, []))
        with self.assertRaisesMessage(RunRefusedError, 'a person approves'):
            approve_run(run, run.plan_hash, timezone.now())
        approve_run(run, run.plan_hash, timezone.now(), approver=User.objects.create_user('engineer'))
        self.assertEqual(execute_run(run.pk).status, RunStatusChoices.COMPLETED)
        self.assertCut('ana')


class CheckedTest(WorldTestCase):
    def check(self, **values):
        EnforcementPoint.objects.update(**values)

    def test_the_first_restriction_at_a_point_that_was_never_checked_is_refused(self):
        self.world.owe(self.world.subscriber('ana'))
        for values, why in (
            ({'checked_at': None}, 'was never checked'),
            ({'checked_at': timezone.now() - timedelta(days=8)}, 'more than 7 days old'),
            ({'checked_at': timezone.now(), 'check_failure': 'restricted list: no rule stops it'}, 'no rule stops it'),
        ):
            self.check(**values)
            EnforcementRun.objects.all().delete()
            (run,) = self.world.work()
            self.assertEqual(run.status, RunStatusChoices.PLANNED)
            self.assertIn(why, run.stop_reason)
            warned = {warning.kind: warning.text for warning in preview_run(run, timezone.now()).warnings}
            self.assertIn(why, warned['unchecked'])
        settings = EnforcementSettings.load()
        settings.allow_unchecked = True
        settings.save()
        EnforcementRun.objects.all().delete()
        self.world.work()
        self.assertCut('ana')

    def test_a_run_that_was_approved_takes_nothing_first_at_a_point_whose_check_has_failed_since(self):
        self.world.owe(self.world.subscriber('ana'))
        (run,) = evaluate_all(timezone.now())[1]
        self.assertEqual(run.status, RunStatusChoices.APPROVED)
        self.check(checked_at=timezone.now(), check_failure='restricted list: no rule stops it')
        execute_run(run.pk)
        self.assertFree('ana')
        self.assertIn('no rule stops it', run.changes.get().message)
        self.assertEqual(self.world.box().sent, [])
        # A runbook's journal, too.
        self.check(checked_at=timezone.now(), check_failure='')
        (run,) = evaluate_all(timezone.now())[1]
        self.check(checked_at=timezone.now(), check_failure='restricted list: no rule stops it')
        begin_run(run.pk, timezone.now(), 'runbook@host')
        key = str(run.changes.get().pk)
        claim = DatabaseJournal(EnforcementRun.objects.get(pk=run.pk), 'runbook@host').claim_rows([key])
        self.assertIn('no rule stops it', claim.refused[key])

    def test_a_later_restriction_is_warned_of_and_not_refused(self):
        self.blocked('ana')
        self.check(checked_at=None)
        self.world.owe(self.world.subscriber('bob'))
        self.world.work()
        self.assertCut('bob')


class ChangedConnectionTest(WorldTestCase):
    """Behind another address, port, key or login another box may stand: nothing is taken there unseen."""

    def change(self, **values):
        point = self.world.points[0]
        point.refresh_from_db()
        for name, value in values.items():
            setattr(point, name, value)
        point.save()
        return point

    def allow_unchecked(self):
        settings = EnforcementSettings.load()
        settings.allow_unchecked = True
        settings.save()

    def test_no_more_is_taken_where_the_connection_changed_and_what_is_owed_back_goes(self):
        self.allow_unchecked()
        ana = self.blocked('ana')
        bob = self.world.subscriber('bob')
        was = {name: getattr(self.world.points[0], name) for name in ('port', 'credential', 'host_key', 'parameters')}
        for changed in (
            {'port': 2222},
            {'credential': 'mine'},
            {'host_key': 'SHA256:AAAApj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUU'},
            {'parameters': {'blocked_profile': 'mine'}},
        ):
            self.change(**changed)
            EnforcementRun.objects.filter(status=RunStatusChoices.PLANNED).delete()
            self.world.owe(bob)
            (run,) = self.world.work()
            self.assertEqual(run.status, RunStatusChoices.PLANNED, changed)
            self.assertIn('connection of bras-1 was changed since', run.stop_reason)
            self.assertFree('bob')
            warned = {warning.kind: warning.text for warning in preview_run(run, timezone.now()).warnings}
            self.assertIn('was changed since it was checked', warned['unchecked'])
            self.change(**was)
        self.change(port=2222)
        self.world.pay(ana)
        self.world.work()
        self.assertFree('ana')

    def test_once_checked_again_it_is_taken_and_a_check_that_found_something_does_not_count(self):
        self.allow_unchecked()
        bob = self.world.subscriber('bob')
        point = self.change(port=2222)
        self.assertTrue(point.is_unverified)
        note_check(point, ['restricted list: no rule stops it'], timezone.now())
        self.assertTrue(point.is_unverified)
        # What was checked is what the check's worker reached, not what the point was made meanwhile.
        EnforcementPoint.objects.filter(pk=point.pk).update(address='10.0.0.2')
        note_check(point, [], timezone.now())
        point.refresh_from_db()
        self.assertTrue(point.is_unverified)
        EnforcementPoint.objects.filter(pk=point.pk).update(address='10.0.0.1')
        self.world.owe(bob)
        self.world.work()
        self.assertCut('bob')

    def test_a_change_after_the_approval_skips_the_rows_with_the_reason(self):
        bob = self.world.subscriber('bob')
        DelinquencyPolicy.objects.update(auto_approve=False)
        self.world.owe(bob)
        (run,) = self.world.work()
        approve_run(run, run.plan_hash, timezone.now(), approver=User.objects.create_user('engineer'))
        self.change(address='10.0.0.2')
        execute_run(run.pk)
        row = run.changes.get()
        self.assertEqual((row.outcome, row.message_code), ('skipped', 'point_unverified'))
        self.assertNotIn('bob', self.world.box(1).stored)

    def test_a_session_that_goes_elsewhere_than_what_was_checked_takes_nothing(self):
        """Changed, taken up by a worker, and changed back before it claims its rows."""
        bob = self.world.subscriber('bob')
        DelinquencyPolicy.objects.update(auto_approve=False)
        self.world.owe(bob)
        (run,) = self.world.work()
        approve_run(run, run.plan_hash, timezone.now(), approver=User.objects.create_user('engineer'))
        elsewhere = self.change(address='10.0.0.2').connection
        self.change(address='10.0.0.1')
        begin_run(run.pk, timezone.now())
        journal = DatabaseJournal(run, reached={self.world.points[0].pk: elsewhere})
        (why,) = journal.claim_rows([str(run.changes.get().pk)]).refused.values()
        self.assertEqual(why.code, 'point_unverified')

    def test_another_primary_address_of_its_device_is_another_host(self):
        device = create_test_device('edge')
        interface = device.interfaces.create(name='lo', type='virtual')
        for number in (1, 2):
            IPAddress.objects.create(address=f'10.0.0.{number}/32', assigned_object=interface)
        device.primary_ip4 = IPAddress.objects.first()
        device.save()
        point = make_point(name='edge', address='', device=device)
        self.assertFalse(point.is_unverified)
        device.primary_ip4 = IPAddress.objects.last()
        device.save()
        self.assertTrue(EnforcementPoint.objects.get(pk=point.pk).is_unverified)

    def test_who_sends_the_fields_of_a_check_along_has_not_checked(self):
        point = self.change(port=2222)
        point.checked_as = point.connection
        point.save()  # an ordinary save writes nothing of a check
        self.assertTrue(EnforcementPoint.objects.get(pk=point.pk).is_unverified)
