"""Evaluate → plan → start: what follows from a fact, in the one order in which it is done.

Whoever has a new fact calls here: the inbox, the evaluation of all contracts, a hold or a notice that was written, a
read-back. What gives access back is started at once; what takes it away waits for the evaluation of all contracts: one
plan, not one for each event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from .billing.clock import database_now
from .billing.ingest import adopt_waiting, process_events
from .choices import ContractStatusChoices, LineStatusChoices, RunStatusChoices
from .jobs.runs import start_run
from .models import AccessLine, EnforcementRun
from .policy.evaluate import Evaluation, evaluate
from .runs.lifts import note_owed, plan_lifts, unplanned_lifts
from .runs.plan import plan_runs, unplanned_lines
from .runs.reconcile import Report

__all__ = (
    'adopt_words', 'evaluate_all', 'process_inbox', 'reevaluate', 'retire_lines', 'start_lifts', 'start_restores',
    'start_runs',
)  # fmt: skip


def evaluate_all(now: datetime) -> tuple[Evaluation, list[EnforcementRun]]:
    """Put every contract where it belongs at `now`, plan what follows, and start what needs no person."""
    retire_lines()
    evaluation = evaluate(now)
    runs = [*plan_lifts(unplanned_lifts(), now), *plan_runs(unplanned_lines(), now)]
    note_owed(now)
    return evaluation, start_runs(runs)


def retire_lines(contracts: Collection[int] | None = None) -> int:
    """Who left has no active line. What was taken of it stays where it is, for the next owner or a person to lift.

    Returns how many lines were retired; without `contracts` those of whoever left, by whatever way that was written.
    """
    lines = AccessLine.objects.filter(
        status=LineStatusChoices.ACTIVE, contract__status=ContractStatusChoices.TERMINATED
    )
    if contracts is not None:
        lines = lines.filter(contract__in=contracts)
    retired = list(lines.order_by('pk'))
    for line in retired:
        line.snapshot()
        line.status = LineStatusChoices.RETIRED
        line.save()
    return len(retired)


def reevaluate(contract: int) -> None:
    """Put one contract where it belongs now; where that gives access back, give it back once this is committed."""
    evaluate(timezone.now(), [contract])
    start_lifts([contract])


def start_lifts(contracts: Collection[int] = (), restrictions: Collection[int] = ()) -> None:
    """Give back what is owed of these contracts' lines, at their places and where they left it; once committed."""
    now = timezone.now()
    runs = plan_runs(unplanned_lines().filter(contract__in=contracts), now, restores_only=True) if contracts else []
    left = unplanned_lifts().filter(Q(contract__in=contracts) | Q(pk__in=restrictions))
    for run in [*runs, *plan_lifts(left, now)]:
        if run.status == RunStatusChoices.APPROVED:
            transaction.on_commit(partial(start_run, run.pk), robust=True)


def process_inbox() -> Iterator[list[EnforcementRun]]:
    """Process billing's events, batch by batch; where they give access back it is given back at once, by these runs."""
    for contracts in process_events():
        yield _give_back(contracts)


def adopt_words(contracts: Sequence[int] | None = None) -> None:
    """What billing said of contracts (of all, where none are given) before they were here; what relieves is done."""
    if adopted := adopt_waiting(database_now(), contracts):
        start_lifts(adopted)


def start_restores(report: Report) -> list[EnforcementRun]:
    """Start the restores that a read-back found to be due; see `reconcile_point`."""
    return [start_run(pk) for pk in report.restores]


def _give_back(contracts: Collection[int]) -> list[EnforcementRun]:
    now = timezone.now()
    runs = plan_runs(unplanned_lines().filter(contract__in=contracts), now, restores_only=True)
    return start_runs([*runs, *plan_lifts(unplanned_lifts().filter(contract__in=contracts), now)])


def start_runs(runs: list[EnforcementRun]) -> list[EnforcementRun]:
    """Start those that are approved; answers all, as they are then."""
    return [start_run(run.pk) if run.status == RunStatusChoices.APPROVED else run for run in runs]
