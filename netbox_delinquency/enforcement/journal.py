"""The run's journal in NetBox's database: its rows are locks, proof, and what a later worker resumes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import connection, connections, transaction
from django.utils import timezone

from nornir_tasks.breaker import Vitals
from nornir_tasks.change import AccessChange, AccessState, ChangeResult, Outcome, Reading
from nornir_tasks.journal import Claim

from ..choices import ContractStatusChoices, LineChannelChoices, LineStatusChoices, PointStatusChoices, RunStatusChoices
from ..models import AccessLine, Contract, EnforcementChange, EnforcementPoint, EnforcementRun, RunPoint
from ..models.access import BASELINE, IN_DOUBT, OBSERVED
from ..models.state import state_fields
from ..policy.evaluate import frozen
from ..policy.facts import may_start
from .errors import RunRefusedError
from .revert import may_revert_to, should_pin

# A run that has written nothing for so long is taken for dead, and its claims with it.
DEAD_AFTER = timedelta(seconds=90)

# The columns of a line that a read-back writes.
OBSERVATION = [
    column
    for side in LineChannelChoices.SIDES
    for column in (*state_fields(OBSERVED[side]), f'{OBSERVED[side]}_at', IN_DOUBT[side], BASELINE[side])
] + ['pinned']


class DatabaseJournal:
    """`nornir_tasks.journal.Journal` for one run. Change keys are the primary keys of its rows."""

    def __init__(self, run: EnforcementRun) -> None:
        self.run = run

    def claim(self, changes: Sequence[AccessChange]) -> Claim:
        return self.claim_rows([change.key for change in changes])

    def sending(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> Mapping[str, str]:
        return self.send_rows({change.key: before[change.target.key] for change in changes})

    @transaction.atomic
    def claim_rows(self, keys: Sequence[str]) -> Claim:
        now = timezone.now()
        rows = self._rows(keys)
        refused = self._refused(rows, now)
        held = self._held_by_others([row.line_id for row in rows.values()], now)
        busy = frozenset(key for key, row in rows.items() if key not in refused and row.line_id in held)
        ours = [row.pk for key, row in rows.items() if key not in refused and key not in busy]
        EnforcementChange.objects.filter(pk__in=ours).update(claimed_at=now)
        self._beat(now)
        return Claim(refused, busy)

    @transaction.atomic
    def send_rows(self, before: Mapping[str, Reading]) -> Mapping[str, str]:
        now = timezone.now()
        rows = self._rows(before)
        refused = self._refused(rows, now)
        sent = {key: row for key, row in rows.items() if key not in refused}
        for key, row in sent.items():
            # A resumed row keeps what was read before it was first sent: that is what a revert returns to.
            if row.sent_at is None:
                row.sent_at, row.before = now, before[key].as_dict()
        EnforcementChange.objects.bulk_update(sent.values(), ['sent_at', 'before'])
        # From here until it is read back nobody knows how the line stands: a payment that comes now plans a restore.
        for side in LineChannelChoices.SIDES:
            lines = [row.line_id for row in sent.values() if row.channel == side and row.values is None]
            AccessLine.objects.filter(pk__in=lines).update(**{IN_DOUBT[side]: True})
        self._beat(now)
        return refused

    @transaction.atomic
    def finished(self, results: Sequence[ChangeResult]) -> None:
        now = timezone.now()
        rows = self._rows(result.key for result in results)
        lines = {
            line.pk: line
            for line in AccessLine.objects.select_for_update()
            .filter(pk__in=[row.line_id for row in rows.values()])
            .order_by('pk')
        }
        for result in results:
            row = rows[result.key]
            outcome = result.outcome
            if outcome is Outcome.NOOP and row.sent_at is not None:
                # Sent before its worker died, and found as desired by the one that resumed it.
                outcome = Outcome.APPLIED
            row.outcome, row.message, row.finished_at = str(outcome), result.message, now
            if row.before is None and result.before is not None:
                row.before = result.before.as_dict()
            row.after = result.after.as_dict() if result.after else None
            _observe(lines[row.line_id], row, result, now)
            if should_pin(row, lines[row.line_id]):
                lines[row.line_id].pinned = True
        EnforcementChange.objects.bulk_update(
            rows.values(), ['outcome', 'message', 'finished_at', 'before', 'after'], batch_size=500
        )
        AccessLine.objects.bulk_update(
            lines.values(),
            OBSERVATION,
            batch_size=500,
        )
        self._beat(now)

    @transaction.atomic
    def unsent(self, changes: Sequence[AccessChange]) -> None:
        rows = self._rows([change.key for change in changes])
        EnforcementChange.objects.filter(pk__in=[row.pk for row in rows.values()]).update(sent_at=None, before=None)
        for side in LineChannelChoices.SIDES:
            lines = [row.line_id for row in rows.values() if row.channel == side]
            AccessLine.objects.filter(pk__in=lines).update(**{IN_DOUBT[side]: False})
        self._beat(timezone.now())

    def vitals(self, point: str, vitals: Vitals) -> None:
        now = timezone.now()
        known, _ = RunPoint.objects.get_or_create(run=self.run, point=EnforcementPoint.objects.get(name=point))
        if known.sessions_before is None:
            known.sessions_before = vitals.sessions
        if known.latency_before_s is None:
            known.latency_before_s = vitals.latency_s
        known.sessions_now, known.latency_now_s, known.heartbeat_at = vitals.sessions, vitals.latency_s, now
        known.save()
        self._beat(now)

    def close(self) -> None:
        # Each point is worked in a thread of its own, with a database connection of its own.
        if not connection.in_atomic_block:
            connections.close_all()

    def _rows(self, keys: Iterable[str]) -> dict[str, EnforcementChange]:
        """The run's open rows with these keys. Raises `RunRefusedError` where one is not among them."""
        wanted = list(keys)
        known = [key for key in wanted if key.isdecimal()]
        rows = {str(row.pk): row for row in self.run.changes.filter(pk__in=known, outcome='')}
        if missing := [key for key in wanted if key not in rows]:
            raise RunRefusedError(f'run "{self.run}" has no open rows {", ".join(missing)}')
        if self.run.status != RunStatusChoices.RUNNING:
            raise RunRefusedError(f'run "{self.run}" is {self.run.status}: begin it first')
        return rows

    def _refused(self, rows: Mapping[str, EnforcementChange], now: datetime) -> dict[str, str]:
        """Why rows must not be sent as the facts stand now, by key.

        Their lines are locked until the transaction ends, in one order: looking and writing are one step, between
        runs as well as towards an evaluation that a payment started.
        """
        lines = AccessLine.objects.filter(pk__in=[row.line_id for row in rows.values()]).order_by('pk')
        facts = {
            line.pk: line
            for line in lines.select_for_update(of=('self',))
            .select_related(
                'contract__source', 'contract__policy__calendar', 'contract__calendar', 'contract__stage', 'bras', 'acs'
            )
            .prefetch_related('contract__policy__stages')
        }
        spared = frozen(now, [line.contract_id for line in facts.values()])
        reasons = {
            key: why_not(row, facts[row.line_id], now, spared.get(facts[row.line_id].contract_id, ''))
            for key, row in rows.items()
        }
        return {key: reason for key, reason in reasons.items() if reason}

    def _held_by_others(self, lines: Iterable[int], now: datetime) -> set[int]:
        return set(
            EnforcementChange.objects.filter(
                line__in=list(lines),
                claimed_at__isnull=False,
                outcome='',
                run__status=RunStatusChoices.RUNNING,
                run__heartbeat_at__gt=now - DEAD_AFTER,
            )
            .exclude(run=self.run)
            .values_list('line_id', flat=True)
        )

    def _beat(self, now: datetime) -> None:
        EnforcementRun.objects.filter(pk=self.run.pk).update(heartbeat_at=now)


def why_not(row: EnforcementChange, line: AccessLine, now: datetime, spared: str = '') -> str:
    """Why a row may not be sent as the facts stand now; empty where it may.

    `spared` says why nothing may get harder for the contract at this moment (see `policy.evaluate.frozen`).
    """
    contract, point = line.contract, line.point_at(row.channel)
    intended = line.intended_at(row.channel)
    if line.status != LineStatusChoices.ACTIVE or contract.status == ContractStatusChoices.TERMINATED:
        return 'retired: the line or its contract is no longer active'
    if point is None or point.pk != row.point_id:
        return f'moved: the line is now at {point}'
    if point.status != PointStatusChoices.ACTIVE:
        return f'{point} is in {point.get_status_display().lower()}'
    if row.values is not None:
        return ''  # it neither gives nor takes access
    if row.run.reverts_id is not None:
        if may_revert_to(row.desired, line, row.channel):
            return _why_not_harder(row, contract, now)
    elif line.pinned and intended.is_harder_than(AccessState.normal()):
        return 'pinned: the line was reverted by hand; unpin it, and policy takes hold again'
    if row.desired == intended:
        return _why_not_harder(row, contract, now, spared)
    if intended == AccessState.normal():
        return 'paid: policy now wants this line normal'
    return f'policy now wants this line {intended}'


def _why_not_harder(row: EnforcementChange, contract: Contract, now: datetime, spared: str) -> str:
    source = contract.source
    is_harder = row.desired is not None and row.desired.is_harder_than(row.expected or AccessState.normal())
    if is_harder and not source.enabled:
        return f'frozen: billing source {source} is disabled'
    if is_harder and source.is_late(now):
        return f'frozen: nothing was heard from billing source {source} for too long'
    if is_harder and spared:
        return f'frozen: {spared}'
    # A run may be approved, or resumed, days after it was planned: the hour that counts is the one it is sent at.
    if is_harder and not may_start(contract, row.desired_mode, now):
        return 'closed: by the policy nothing may start at this hour; plan it again'
    return ''


def _observe(line: AccessLine, row: EnforcementChange, result: ChangeResult, now: datetime) -> None:
    """Write what was read back onto the line; a result without a reading says nothing about it.

    The baseline is taken from the journaled reading: of a resumed row the one from before it was first sent.
    """
    if row.values is not None:
        return  # what was read is not the line's access
    before = Reading.from_dict(row.before) if row.before else None
    if before is not None and before.observed == AccessState.normal() and before.detail:
        setattr(line, BASELINE[row.channel], dict(before.detail))
    if result.after is not None and result.after.observed is not None:
        line.observe(row.channel, result.after.observed, now)
