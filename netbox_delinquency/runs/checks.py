"""Whether a block would block anything at a point: what its last check found, and how old that is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from nornir_tasks.change import AccessState

from ..models import EnforcementChange, EnforcementPoint, EnforcementRun, EnforcementSettings, Restriction
from ..reasons import Reason, ReasonCode
from .locks import ENFORCE, queue_of_kind

__all__ = ('first_unchecked', 'note_check', 'unchecked_points', 'why_unchecked')


def why_unchecked(point: EnforcementPoint, settings: EnforcementSettings, now: datetime) -> str:
    """Why one cannot rely on a block at this point; empty where its check is recent and found nothing wrong."""
    if point.checked_at is None:
        return _('{point} was never checked: a block there may block nothing').format(point=point)
    if point.check_failure:
        text = _('the check of {point} found: {failure}')
        return text.format(point=point, failure=point.check_failure)
    if now - point.checked_at > timedelta(days=settings.check_days):
        text = _('the check of {point} is more than {days} days old')
        return text.format(point=point, days=settings.check_days)
    return ''


def unchecked_points(run: EnforcementRun, settings: EnforcementSettings, now: datetime) -> list[str]:
    """Why the first restriction ever may not be taken at points of this run, in words."""
    if settings.allow_unchecked:
        return []
    taking = run.changes.exclude(desired_mode__in=('', 'normal')).order_by()
    points = EnforcementPoint.objects.filter(pk__in=taking.values('point'))
    first = points.exclude(pk__in=Restriction.objects.order_by().values('point'))
    text = _('{reason}: have it checked, or let the settings allow unchecked points')
    reasons = [why_unchecked(point, settings, now) for point in first.order_by('name')]
    return [text.format(reason=reason) for reason in reasons if reason]


def first_unchecked(
    rows: Mapping[str, EnforcementChange], settings: EnforcementSettings, now: datetime
) -> dict[str, str]:
    """Why rows may not be claimed, by key: what was approved may be the first restriction at a point that has failed
    its check since, or whose check has become old."""
    taking = {
        key: row
        for key, row in rows.items()
        if row.desired not in (None, AccessState.normal()) and queue_of_kind(row.run.kind) == ENFORCE
    }
    reasons = {row.point_id: why_unchecked(row.point, settings, now) for row in taking.values()}
    wanting = {point for point, reason in reasons.items() if reason}
    if not wanting or settings.allow_unchecked:
        return {}
    known = Restriction.objects.filter(point__in=wanting).order_by().values_list('point', flat=True).distinct()
    wanting -= set(known)
    return {
        key: Reason.of(ReasonCode.UNCHECKED, why=reasons[row.point_id])
        for key, row in taking.items()
        if row.point_id in wanting
    }


def note_check(point: EnforcementPoint, failures: list[str], now: datetime) -> None:
    """Keep what a check found: the required things that the point lacks."""
    point.advance(checked_at=now, check_failure='; '.join(failures)[:500])
