"""Whether a block would block anything at a point: what its last check found, and how old that is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from nornir_tasks.change import AccessState

from ..models import EnforcementChange, EnforcementPoint, EnforcementRun, EnforcementSettings, Restriction
from ..reasons import Reason, ReasonCode
from .caps import is_bound
from .locks import ENFORCE, queue_of_kind

__all__ = ('first_unchecked', 'note_check', 'unchecked_points', 'why_unchecked', 'with_hosts')

HOSTS = [f'{owner}__{address}' for owner in ('device', 'virtual_machine') for address in ('primary_ip4', 'primary_ip6')]


def with_hosts(pks: Collection[int] | QuerySet[Any]) -> dict[int, EnforcementPoint]:
    """These points by primary key, with what their hosts are known from."""
    points = EnforcementPoint.objects.filter(pk__in=pks).select_related(*HOSTS)
    return {point.pk: point for point in points}


def why_unchecked(point: EnforcementPoint, settings: EnforcementSettings, now: datetime, name: str = '') -> str:
    """Why one cannot rely on a block at this point; empty where its check is recent and found nothing wrong.

    With a `name` it is called so, and what its check found is left out: its reader may not see it.
    """
    called = name or point.name
    if point.is_unverified:
        return _('the connection of {point} was changed since it was checked').format(point=called)
    if point.checked_at is None:
        return _('{point} was never checked: a block there may block nothing').format(point=called)
    if point.check_failure:
        text = _('the check of {point} found: {failure}')
        return text.format(point=called, failure='…' if name else point.check_failure)
    if now - point.checked_at > timedelta(days=settings.check_days):
        text = _('the check of {point} is more than {days} days old')
        return text.format(point=called, days=settings.check_days)
    return ''


def unchecked_points(
    run: EnforcementRun, settings: EnforcementSettings, now: datetime, hidden: Mapping[int, str] | None = None
) -> list[str]:
    """Why nothing may be taken at points of this run, in words.

    That is the first restriction ever at a point that was not checked, unless the settings allow it; and any at all
    where the connection has changed since, which no setting allows. `hidden` points are called by their names there.
    """
    if not is_bound(run):
        return []
    taking = run.changes.exclude(desired_mode='normal').order_by()
    points = EnforcementPoint.objects.filter(pk__in=taking.values('point')).order_by('name')
    names = hidden or {}
    changed = [point for point in with_hosts(points.values('pk')).values() if point.is_unverified]
    text = _('{reason}: have it checked')
    found = [text.format(reason=why_unchecked(point, settings, now, names.get(point.pk, ''))) for point in changed]
    if settings.allow_unchecked:
        return found
    first = points.exclude(pk__in=Restriction.objects.order_by().values('point'))
    first = first.filter(pk__in=taking.exclude(desired_mode='').values('point'))
    text = _('{reason}: have it checked, or let the settings allow unchecked points')
    reasons = [why_unchecked(point, settings, now, names.get(point.pk, '')) for point in first if point not in changed]
    return found + [text.format(reason=reason) for reason in reasons if reason]


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
    """Keep what a check found: the required things that the point lacks, and by which connection they were looked for.

    `point` is as it was when the check began. One that found something proves nothing of a connection that is new.
    """
    found = '; '.join(failures)[:500]
    point.advance(checked_at=now, check_failure=found, checked_as=point.checked_as if failures else point.connection)
