"""What the breaker judges by, from the journal in the database: rows closed, and how the points are."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q

from nornir_tasks.engine.breaker import WRONG, BreakerLimits, Health, PointHealth, Tally, verdict

from ..choices import OutcomeChoices
from ..models import EnforcementChange, EnforcementRun, EnforcementSettings
from ..reasons import Reason, ReasonCode
from .locks import RESTORE, queue_of_kind

__all__ = ('breaker_verdict',)

# The breaker's own percentages are the settings'; the rest are bounds below which a share means nothing.
DEFAULTS = BreakerLimits()


def breaker_verdict(run: EnforcementRun, settings: EnforcementSettings) -> str:
    """Why a run must pause itself, or ''. Rows that were closed before a person resumed it no longer count."""
    if queue_of_kind(run.kind) == RESTORE:
        return ''
    limits = BreakerLimits(
        max_failed_percent=settings.max_failed_percent,
        min_rows=settings.min_rows,
        max_session_drop_percent=settings.max_session_drop_percent,
        max_refused_percent=settings.max_refused_percent,
        max_latency_factor=settings.max_latency_factor,
    )
    first = run.changes.filter(wave=1)
    first_wave = _tally(run, wave=1) if not first.filter(outcome='').exists() else None
    found = verdict(limits, _tally(run), _health(run), first_wave, total=run.changes.count())
    return Reason.of(ReasonCode(found.code), **found.figures) if found else ''


def _tally(run: EnforcementRun, **filters: Any) -> Tally:
    rows = run.changes.filter(**filters).exclude(outcome__in=('', OutcomeChoices.SKIPPED))
    if run.resumed_at:  # a person who resumed it has seen what went wrong before
        rows = rows.filter(finished_at__gt=run.resumed_at)
    return Tally(
        **rows.aggregate(
            tried=Count('pk'),
            wrong=Count('pk', filter=Q(outcome__in=[str(outcome) for outcome in WRONG])),
            refused=Count('pk', filter=Q(refused=True)),
            untouched=Count('pk', filter=Q(outcome=OutcomeChoices.FAILED, sent_at__isnull=True)),
        )
    )


def _health(run: EnforcementRun) -> list[PointHealth]:
    points = run.points.select_related('point')
    watched = [known for known in points if known.sessions_before is not None or known.latency_before_s is not None]
    if not watched:
        return []
    # Of all runs: what another one ended in the meantime is not this one's collateral either.
    had_session = EnforcementChange.objects.filter(
        point__in=[known.point_id for known in watched],
        sent_at__gte=run.resumed_at or run.started_at,
        before__isnull=False,
    ).exclude(before__live=None)
    ended = dict(
        had_session.filter(Q(after__isnull=True) | Q(after__live=None))
        .order_by()
        .values_list('point')
        .annotate(count=Count('pk'))
    )
    return [
        PointHealth(
            known.point.name,
            Health(known.sessions_before, known.latency_before_s),
            Health(known.sessions_now, known.latency_now_s),
            ended.get(known.point_id, 0),
        )
        for known in watched
    ]
