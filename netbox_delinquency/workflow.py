"""Evaluate → plan → start: what follows from a fact, in the one order in which it is done.

Whoever has a new fact calls here: the inbox, the evaluation of all contracts, a hold or a notice that was written, a
read-back. What gives access back is started at once; what takes it away waits for the evaluation of all contracts: one
plan, not one for each event.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from .billing.ingest import work_inbox
from .choices import RunStatusChoices
from .jobs.runs import start_run
from .models import AccessLine, EnforcementRun
from .policy.evaluate import Evaluation, evaluate
from .runs.plan import plan_runs, unplanned_lines
from .runs.reconcile import Report

__all__ = ('evaluate_all', 'process_inbox', 'reevaluate', 'start_restores')


def evaluate_all(now: datetime) -> tuple[Evaluation, list[EnforcementRun]]:
    """Put every contract where it belongs at `now`, plan what follows, and start what needs no person."""
    evaluation = evaluate(now)
    return evaluation, _start(plan_runs(unplanned_lines(), now))


def reevaluate(contract: int) -> None:
    """Put one contract where it belongs now; where that gives access back, give it back once this is committed."""
    now = timezone.now()
    evaluate(now, [contract])
    for run in plan_runs(unplanned_lines().filter(contract=contract), now, restores_only=True):
        if run.status == RunStatusChoices.APPROVED:
            transaction.on_commit(partial(start_run, run.pk), robust=True)


def process_inbox() -> Iterator[list[EnforcementRun]]:
    """Process billing's events, batch by batch; where they give access back it is given back at once, by these runs."""
    for contracts in work_inbox():
        yield _give_back(unplanned_lines().filter(contract__in=contracts))


def start_restores(report: Report) -> list[EnforcementRun]:
    """Start the restores that a read-back found to be due; see `reconcile_point`."""
    return [start_run(pk) for pk in report.restores]


def _give_back(lines: QuerySet[AccessLine]) -> list[EnforcementRun]:
    return _start(plan_runs(lines, timezone.now(), restores_only=True))


def _start(runs: list[EnforcementRun]) -> list[EnforcementRun]:
    """Start those that are approved; answers all, as they are then."""
    return [start_run(run.pk) if run.status == RunStatusChoices.APPROVED else run for run in runs]
