"""Whether a block would block anything at a point: what its last check found, and how old that is."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from ..models import EnforcementPoint, EnforcementRun, EnforcementSettings, Restriction

__all__ = ('note_check', 'unchecked_points', 'why_unchecked')


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


def note_check(point: EnforcementPoint, failures: list[str], now: datetime) -> None:
    """Keep what a check found: the required things that the point lacks."""
    point.advance(checked_at=now, check_failure='; '.join(failures)[:500])
