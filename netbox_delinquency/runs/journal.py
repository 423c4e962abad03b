"""The run's journal in NetBox's database: its rows are locks, proof, and what a later worker resumes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from typing import Any

from django.db import Error, connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from nornir_tasks.change import AccessChange, AccessState, ChangeResult, Reading
from nornir_tasks.engine.breaker import Health
from nornir_tasks.engine.journal import Claim

from ..choices import LineChannelChoices, RunStatusChoices
from ..errors import DelinquencyError, RunRefusedError
from ..events import LineEvents
from ..models import (
    AccessLine,
    EnforcementChange,
    EnforcementPoint,
    EnforcementRun,
    EnforcementSettings,
    Restriction,
    RunPoint,
)
from ..models.restriction import Place
from ..models.sides import UNVERIFIED
from ..policy.evaluate import frozen
from ..reasons import Reason, ReasonCode
from .breaker import breaker_verdict
from .caps import budget
from .checks import first_unchecked, with_hosts
from .lifecycle import is_alive, pause_run
from .lifts import holders
from .locks import ENFORCE, held_points, kinds_in_queue, queue_of_kind
from .observing import OBSERVATION, close_row, is_at, last_said, note_refusals, observe, with_facts
from .ownership import forget_unsent, note_attempts, note_readings, open_restrictions
from .preconditions import lift_refusal, refusal_reason
from .revert import should_pin
from .row_by_row import DATA_ERRORS, RowByRow
from .stop_conditions import deadline_passed, note_stop_reason, stop_reason_of

__all__ = ('DatabaseJournal', 'JournalLostError', 'forget_dead_claims')

LOCK_SHARED = 'SELECT 1 FROM netbox_delinquency_enforcementrun WHERE id = %s FOR SHARE'
LOCK_ALONE = 'SELECT 1 FROM netbox_delinquency_enforcementrun WHERE id = %s FOR UPDATE'


class JournalLostError(DelinquencyError):
    """The database was lost in the middle: nothing more may be sent, and the rows left open say so."""


def _guarded[**P, R](method: Callable[P, R]) -> Callable[P, R]:
    """Once the database failed under a journal, that journal is over, even if the database is back.

    With its session the worker lost the lock on its point: another one may have taken the rows up by now. A row's own
    data that does not fit is no such failure.
    """

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        journal: Any = args[0]
        if journal.lost is not None:
            raise JournalLostError('the database was lost in the middle of this run') from journal.lost
        try:
            return method(*args, **kwargs)
        except DATA_ERRORS:
            raise
        except Error as error:
            journal.lost = error
            raise

    return call


class DatabaseJournal(RowByRow):
    """`nornir_tasks.engine.journal.Journal` for one run. Change keys are the primary keys of its rows.

    A runbook gives its `executor`, and is refused once somebody else has taken the run over. What it says it read is
    kept with its rows and believed of no line: a worker reads that. A worker gives no `executor`: it holds its points
    by `locks.hold_point`. Every call is one transaction, and may come twice.
    """

    def __init__(
        self,
        run: EnforcementRun,
        executor: str = '',
        points: Mapping[str, int] | None = None,
        reached: Mapping[int, str] | None = None,
    ) -> None:
        self.run = run
        self.executor = executor
        self.points = points or {}  # by the names that they had when the work began: one may be renamed under it
        self.reached = reached or {}  # by point: the connection of the session that is open there
        self.lost: Error | None = None

    def claim(self, changes: Sequence[AccessChange]) -> Claim:
        return self.claim_rows([change.key for change in changes])

    def sending(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> Mapping[str, str]:
        return self.send_rows({change.key: before[change.target.key] for change in changes})

    def unsent(self, changes: Sequence[AccessChange]) -> None:
        self.unsend_rows([change.key for change in changes])

    @_guarded
    @transaction.atomic
    def claim_rows(self, keys: Sequence[str]) -> Claim:
        now = timezone.now()
        run = self._run()
        settings = EnforcementSettings.load()
        if not keys:
            self._heartbeat((), now)  # it soaks, or sends: it lives
            return Claim(stop_reason=self._stop_reason(run, settings, now))
        rows = {} if run.status in (RunStatusChoices.PAUSED, RunStatusChoices.CANCELLED) else self._open(keys)
        stop_reason = self._stop_reason(run, settings, now) or self._breaker_verdict(run, settings, now)
        if stop_reason or (stop_reason := self._cap_reached(run, settings, rows.values(), now)):
            note_stop_reason(run, stop_reason)
            return Claim(stop_reason=stop_reason)
        refused, _ = self._refused(rows, now)
        refused = first_unchecked(rows, settings, now) | refused
        note_refusals(rows, refused)
        held = self._held_by_others(rows.values(), now)
        busy = frozenset(key for key, row in rows.items() if key not in refused and {row.line_id, row.place} & held)
        ours = [row.pk for key, row in rows.items() if key not in refused and key not in busy]
        EnforcementChange.objects.filter(pk__in=ours).update(claimed_at=now)
        self._heartbeat(rows.values(), now)
        return Claim(refused, busy)

    def _gives_back(self, key: str) -> bool:
        row = self._rows([key])[key]
        return row.values is None and row.desired == AccessState.normal()

    @_guarded
    @transaction.atomic
    def _send(self, before: Mapping[str, Reading]) -> Mapping[str, str]:
        now = timezone.now()
        # Against a cancellation: either it closed these rows already, or it waits and finds them sent.
        run = self._run(lock=True)
        closed: dict[str, str] = {}
        if run.status == RunStatusChoices.CANCELLED:
            rows = {}
            closed = dict.fromkeys(before, Reason.of(ReasonCode.CANCELLED))
        else:
            rows = self._open(before)
        refused, facts = self._refused(rows, now, before)
        note_refusals(rows, refused)
        sent = {key: row for key, row in rows.items() if key not in refused}
        for key, row in sent.items():
            # A resumed row keeps what was read before it was first sent: that is what a revert returns to.
            if row.sent_at is None:
                row.sent_at, row.before = now, before[key].as_dict()
        EnforcementChange.objects.bulk_update(sent.values(), ['sent_at', 'before'])
        # From here until it is read back nobody knows the state of the line: a payment that comes now plans a restore.
        for side in LineChannelChoices.SIDES:
            lines = [row.line_id for row in sent.values() if row.channel == side and row.values is None and row.line_id]
            AccessLine.objects.filter(pk__in=lines).update(**{UNVERIFIED[side]: True})
        open_restrictions(sent.values(), facts, {row.pk: before[key] for key, row in sent.items()}, now)
        self._heartbeat(rows.values(), now)
        return refused | closed

    @_guarded
    @transaction.atomic
    def _finish(self, results: Sequence[ChangeResult]) -> None:
        """Rows that are closed already stay as they are: a cancellation closed them, or this call came twice."""
        now = timezone.now()
        self._run()
        rows = {key: row for key, row in self._rows([result.key for result in results]).items() if not row.outcome}
        events = LineEvents(AccessLine)
        held = AccessLine.objects.filter(pk__in=[row.line_id for row in rows.values() if row.line_id]).order_by('pk')
        related = ('bras', 'acs', 'contract', 'cpe') if events.wanted else ('bras', 'acs')
        held = held.select_related(*related)
        if events.wanted:
            held = held.prefetch_related('tags')
        lines = {line.pk: line for line in held.select_for_update(of=('self',))}
        events.before(lines.values())
        closing = [(rows[result.key], result) for result in results if result.key in rows]
        read = {row.place: reading for row, result in closing if (reading := last_said(row, result)) is not None}
        if self.executor:
            read = {}
        unread = {row.place for row, _ in closing if row.values is None} - read.keys()
        still = note_readings(read, now) | Restriction.objects.at(unread)
        for row, result in closing:
            close_row(row, result, now)
            if (line := lines.get(row.line_id)) is not None:
                if self.executor:
                    line.pinned |= should_pin(row, line)
                elif row.values is None and is_at(line, row):
                    observe(line, row, result, still, now)
                events.add(line, row)
        note_attempts(closing, still, now)
        EnforcementChange.objects.bulk_update(
            rows.values(),
            ['outcome', 'refused', 'message', 'message_code', 'message_params', 'finished_at', 'before', 'after'],
            batch_size=500,
        )
        AccessLine.objects.bulk_update(lines.values(), [*OBSERVATION, 'pinned'], batch_size=500)
        self._heartbeat(rows.values(), now)
        events.send()

    @_guarded
    @transaction.atomic
    def unsend_rows(self, keys: Sequence[str]) -> None:
        """The lines stay unverified, which is never wrong: their next row reads them first."""
        now = timezone.now()
        self._run()
        rows = {key: row for key, row in self._rows(keys).items() if not row.outcome}
        mine = self.run.changes.filter(pk__in=[row.pk for row in rows.values()])
        # What a dead worker had sent before this claim stays so.
        fresh = mine.filter(sent_at__gte=F('claimed_at'))
        forget_unsent(fresh.values_list('pk', flat=True))
        fresh.update(sent_at=None, before=None)
        mine.update(claimed_at=None)
        self._heartbeat(rows.values(), now)

    @_guarded
    @transaction.atomic
    def _health(self, point: str, health: Health) -> None:
        now = timezone.now()
        self._run()
        found = (
            self.points.get(point) or EnforcementPoint.objects.filter(name=point).values_list('pk', flat=True).first()
        )
        if found is None:
            return  # it was renamed meanwhile: what its name was is not what it is known by
        known, _ = RunPoint.objects.get_or_create(run=self.run, point_id=found)
        if known.sessions_before is None:
            known.sessions_before = health.sessions
        if known.latency_before_s is None:
            known.latency_before_s = health.latency_s
        known.sessions_now, known.latency_now_s, known.heartbeat_at = health.sessions, health.latency_s, now
        known.save()
        self._heartbeat([], now)

    def close(self) -> None:
        """The connection stays open: it holds the lock on the point. It ends with the worker's process."""

    def _run(self, lock: bool = False) -> EnforcementRun:
        """The run as it is now. Raises `RunRefusedError` where it is not under way, or no longer this executor's."""
        if lock:
            # Shared, since the run's other points are sending too; a runbook writes its heartbeat to the row anyway.
            with connection.cursor() as cursor:
                cursor.execute(LOCK_ALONE if self.executor else LOCK_SHARED, [self.run.pk])
        run = EnforcementRun.objects.get(pk=self.run.pk)
        if run.status not in (RunStatusChoices.RUNNING, RunStatusChoices.PAUSED, RunStatusChoices.CANCELLED):
            raise RunRefusedError(Reason.of(ReasonCode.NOT_BEGUN, run=run, status=run.status))
        if not run.started_at:
            raise RunRefusedError(Reason.of(ReasonCode.NEVER_BEGAN, run=run, status=run.status))
        if self.executor and run.executor != self.executor:
            raise RunRefusedError(run.being_worked_on)
        return run

    def _rows(self, keys: Iterable[str]) -> dict[str, EnforcementChange]:
        """The run's rows with these keys. Raises `RunRefusedError` where one is not among them."""
        wanted = list(keys)
        known = [key for key in wanted if key.isdecimal()]
        rows = {str(row.pk): row for row in self.run.changes.filter(pk__in=known).select_related('run')}
        if missing := [key for key in wanted if key not in rows]:
            raise RunRefusedError(Reason.of(ReasonCode.NO_SUCH_ROWS, run=self.run, rows=', '.join(missing)))
        points = with_hosts({row.point_id for row in rows.values()})
        for row in rows.values():
            row.point = points[row.point_id]
            row.point.reached_as = self.reached.get(row.point_id, '')
        return rows

    def _open(self, keys: Iterable[str]) -> dict[str, EnforcementChange]:
        rows = self._rows(keys)
        if closed := [key for key, row in rows.items() if row.outcome]:
            raise RunRefusedError(Reason.of(ReasonCode.ROWS_NOT_OPEN, run=self.run, rows=', '.join(closed)))
        return rows

    def _stop_reason(self, run: EnforcementRun, settings: EnforcementSettings, now: datetime) -> str:
        if not self.executor and run.executor and run.status != RunStatusChoices.CANCELLED:
            return run.being_worked_on  # by who resumed it while it was paused
        stop_reason = stop_reason_of(run, settings)
        if not stop_reason and (reason := deadline_passed(run, settings, now)):
            pause_run(run, reason, now)
            return Reason.of(ReasonCode.PAUSED, why=reason)
        return stop_reason

    @staticmethod
    def _breaker_verdict(run: EnforcementRun, settings: EnforcementSettings, now: datetime) -> str:
        if reason := breaker_verdict(run, settings):
            pause_run(run, reason, now)
            return Reason.of(ReasonCode.PAUSED, why=reason)
        return ''

    @staticmethod
    def _cap_reached(
        run: EnforcementRun, settings: EnforcementSettings, rows: Iterable[EnforcementChange], now: datetime
    ) -> str:
        if queue_of_kind(run.kind) != ENFORCE:
            return ''
        by_point: dict[int, int] = {}
        for row in rows:
            if row.sent_at is None and row.claimed_at is None:  # else it is among those counted
                by_point[row.point_id] = by_point.get(row.point_id, 0) + 1
        for point in EnforcementPoint.objects.filter(pk__in=by_point):
            left, sentence = budget(settings, point, now)
            if left is not None and sum(by_point.values()) > left:
                return sentence
        return ''

    def _refused(
        self,
        rows: Mapping[str, EnforcementChange],
        now: datetime,
        found: Mapping[str, Reading] | None = None,
    ) -> tuple[dict[str, str], dict[int, AccessLine]]:
        """Why rows must not be sent by the facts as they are now, and as lines were `found`, by key; and the lines.

        Their lines are locked until the transaction ends, in one order: reading and writing are one step, between
        runs as well as towards an evaluation that a payment started.
        """
        pks = [row.line_id for row in rows.values() if row.line_id]
        facts = {line.pk: line for line in with_facts(pks).select_for_update(of=('self',)).order_by('pk')}
        frozen_for = frozen(now, [line.contract_id for line in facts.values()])
        reasons = self._lift_refusals([row for row in rows.values() if row.restriction_id])
        for key, row in rows.items():
            if row.restriction_id:
                continue
            line = facts.get(row.line_id)
            if line is None:
                reasons[key] = 'retired: the line was deleted'
            else:
                reasons[key] = refusal_reason(
                    row, line, now, frozen_for.get(line.contract_id, ''), (found or {}).get(key)
                )
        return {key: reason for key, reason in reasons.items() if reason}, facts

    @staticmethod
    def _lift_refusals(rows: Sequence[EnforcementChange]) -> dict[str, str]:
        if not rows:
            return {}
        pks = [row.restriction_id for row in rows]
        chosen = Restriction.objects.filter(pk__in=pks)
        locked = {found.pk: found for found in chosen.select_for_update(of=('self',)).order_by('pk')}
        rightful = set(Restriction.objects.with_a_right().filter(pk__in=pks).order_by().values_list('pk', flat=True))
        here = holders(list(locked.values()))
        return {
            str(row.pk): lift_refusal(
                row, locked[row.restriction_id], here.get(row.place), row.restriction_id in rightful
            )
            for row in rows
        }

    def _held_by_others(self, rows: Iterable[EnforcementChange], now: datetime) -> set[int | Place]:
        """The lines and places that another run is changing right now: claimed, and by somebody who lives."""
        rows = list(rows)
        claims = EnforcementChange.objects.filter(
            Q(line__in=[row.line_id for row in rows if row.line_id])
            | Q(point__in={row.point_id for row in rows}, identity__in={row.identity for row in rows}),
            claimed_at__isnull=False,
            outcome='',
            run__started_at__isnull=False,
        ).exclude(run=self.run)
        held: dict[str, set[int]] = {}
        busy: set[int | Place] = set()
        for claim in claims.select_related('run'):
            if claim.run.executor:
                alive = is_alive(claim.run, now)
            else:
                queue = queue_of_kind(claim.run.kind)
                if queue not in held:
                    held[queue] = held_points(queue)
                alive = claim.point_id in held[queue]
            if alive:
                busy |= {claim.place} | ({claim.line_id} if claim.line_id else set())
        return busy

    def _heartbeat(self, rows: Iterable[EnforcementChange], now: datetime) -> None:
        """A sign of life, on the point of these rows; a runbook's, on the run itself, and the wave it has come to."""
        rows = list(rows)
        RunPoint.objects.filter(run=self.run, point__in={row.point_id for row in rows}).update(heartbeat_at=now)
        if self.executor:
            runs = EnforcementRun.objects.filter(pk=self.run.pk)
            runs.update(heartbeat_at=now)
            wave = max((row.wave for row in rows), default=0)
            runs.filter(wave__lt=wave).update(wave=wave)


def forget_dead_claims(point: int, queue: str) -> None:
    """Give back what dead workers had claimed at a point: whoever holds the point knows that no other worker lives."""
    claimed = EnforcementChange.objects.filter(point=point, claimed_at__isnull=False, outcome='')
    of_workers = claimed.filter(run__kind__in=kinds_in_queue(queue), run__executor='')
    of_workers.update(claimed_at=None)
