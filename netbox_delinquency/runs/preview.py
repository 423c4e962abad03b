"""What a run would do, before it does: by point and by wave, against the caps, and with what one should know of it.

The figures come from a fixed number of queries, whatever the size of the run; what follows from them is pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from extras.models import TaggedItem

from ..choices import (
    AccessModeChoices,
    EnforcementModeChoices,
    HoldKindChoices,
    LineChannelChoices,
    PointStatusChoices,
    RunKindChoices,
)
from ..models import (
    BillingSource,
    Contract,
    EnforcementChange,
    EnforcementPoint,
    EnforcementRun,
    EnforcementSettings,
    GraceRule,
    Hold,
)
from ..models.sides import FOREIGN, IDENTITY, OBSERVED, POINT, UNVERIFIED
from ..reasons import translated
from ..rights import may_see, visible
from .caps import PointPart, is_bound, parts_of, refusals_of
from .checks import unchecked_points, why_unchecked, with_hosts

if TYPE_CHECKING:
    from users.models import User


__all__ = ('Preview', 'Warned', 'preview_run')

STALE_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Warned:
    """Something one should know before approving: what (`kind`, for programs), how many rows, and the sentence."""

    kind: str
    rows: int
    text: str


@dataclass(frozen=True, slots=True)
class Preview:
    rows: int
    points: Sequence[PointPart]
    waves: Mapping[int, int]
    max_rows_per_run: int | None
    max_rows_per_hour: int | None
    sent_last_hour: int
    hours: int  # that it takes at least, by the hourly caps; 0: they hold nothing back
    refusals: Sequence[str] = field(default_factory=tuple)  # why it cannot be approved as things are
    warnings: Sequence[Warned] = field(default_factory=tuple)

    def total(self, name: str) -> int:
        return sum(getattr(part, name) for part in self.points)

    @property
    def throttle(self) -> int:
        return self.total('throttle')

    @property
    def block(self) -> int:
        return self.total('block')

    @property
    def restore(self) -> int:
        return self.total('restore')

    @property
    def values(self) -> int:
        return self.total('values')


def preview_run(run: EnforcementRun, now: datetime, user: User | None = None) -> Preview:
    """What the run would do, as `user` may see it: the others of its points are counted and not named."""
    settings = EnforcementSettings.load()
    parts, waves = parts_of(run, settings, now)
    hidden = _hidden_points(parts, user)
    parts = [replace(part, pk=None, name=hidden[part.pk]) if part.pk in hidden else part for part in parts]
    bound = is_bound(run)
    sent = 0
    if bound:
        recent = EnforcementChange.objects.filter(sent_at__gt=now - timedelta(hours=1))
        sent = recent.exclude(run__kind=RunKindChoices.RESTORE).count()
    return Preview(
        rows=sum(waves.values()),
        points=parts,
        waves=waves,
        max_rows_per_run=settings.max_rows_per_run if bound else None,
        max_rows_per_hour=settings.max_rows_per_hour if bound else None,
        sent_last_hour=sent,
        hours=_hours(parts, settings.max_rows_per_hour) if bound else 0,
        refusals=[*map(translated, refusals_of(parts, settings)), *unchecked_points(run, settings, now, hidden)]
        if bound
        else (),
        warnings=_warnings(run, parts, hidden, user, now),
    )


def _hours(parts: Sequence[PointPart], cap: int | None) -> int:
    wanted = [(part.rows, part.max_rows_per_hour) for part in parts]
    wanted.append((sum(part.rows for part in parts), cap))
    return max((math.ceil(rows / limit) for rows, limit in wanted if limit and rows > limit), default=0)


def _hidden_points(parts: Sequence[PointPart], user: User | None) -> dict[int, str]:
    """What points are called, by key, that this reader may not see."""
    seen = visible(user, EnforcementPoint) if user is not None else None
    if seen is None:
        return {}
    pks = [part.pk for part in parts if part.pk is not None]
    named = set(seen.filter(pk__in=pks).values_list('pk', flat=True))
    return {pk: _('a point that you may not see ({key})').format(key=pk) for pk in pks if pk not in named}


def _warnings(
    run: EnforcementRun, parts: Sequence[PointPart], hidden: Mapping[int, str], user: User | None, now: datetime
) -> list[Warned]:
    counts = _facts(run, now)
    found = [
        (kind, counts[kind], text.format(rows=counts[kind]))
        for kind, text in (
            (
                'unverified',
                _('{rows} lines are unverified: not read since a change was sent, or found partially applied.'),
            ),
            ('stale', _('{rows} lines were not read for a day, or never: their state may differ from the one shown.')),
        )
    ]
    if run.reverts_id is None:
        text = _('{rows} rows are no longer what policy wants: they will be skipped.')
        found.append(('moved', counts['moved'], text.format(rows=counts['moved'])))
    if is_bound(run):
        text = _('{rows} lines are essential, or exempt by a grace rule.')
        found.append(('essential', counts['essential'], text.format(rows=counts['essential'])))
        text = _('{rows} lines are of contracts whose decision a person is to review.')
        found.append(('review', counts['review'], text.format(rows=counts['review'])))
        found += _frozen(run, user, now)
        found += _modes(run)
        found += _unchecked(run, hidden, now)
    text = _('{rows} lines are called otherwise, or are at another point, by now: they will be skipped.')
    found.append(('renamed', counts['renamed'], text.format(rows=counts['renamed'])))
    text = _('{rows} lines are restricted by somebody else as well: that stays.')
    found.append(('foreign', counts['foreign'], text.format(rows=counts['foreign'])))
    for part in parts:
        if part.status != PointStatusChoices.ACTIVE:
            status = dict(PointStatusChoices)[part.status]
            text = _('{point} is not active ({status}): its {rows} rows will be skipped.')
            found.append(('point', part.rows, text.format(point=part.name, status=status, rows=part.rows)))
        if is_bound(run) and part.session_share is not None and part.session_share > part.max_share_percent:
            text = _('The {rows} rows at {point} are {share} % of the {sessions} sessions that it had when last asked.')
            share = number_format(part.session_share, 1)
            sentence = text.format(rows=part.rows, point=part.name, share=share, sessions=part.sessions)
            found.append(('sessions', part.rows, sentence))
    return [Warned(kind, rows, text) for kind, rows, text in found if rows]


def _facts(run: EnforcementRun, now: datetime) -> dict[str, int]:
    """How many rows have lines that one should know of: one query."""
    stale, unverified, moved, renamed, foreign = Q(), Q(), Q(), Q(), Q()
    for side in LineChannelChoices.SIDES:
        here = Q(channel=side)
        seen_at = f'line__{OBSERVED[side]}_at'
        stale |= (
            here
            & Q(line__isnull=False)
            & (Q(**{f'{seen_at}__isnull': True}) | Q(**{f'{seen_at}__lt': now - STALE_AFTER}))
        )
        unverified |= here & Q(**{f'line__{UNVERIFIED[side]}': True})
        is_line = here & Q(line__isnull=False)
        same = Q(**{f'line__{IDENTITY[side]}': F('identity'), f'line__{POINT[side]}': F('point')})
        renamed |= is_line & ~same
        foreign |= is_line & ~Q(**{f'line__{FOREIGN[side]}': []})
        covered = Q(line__channel__in=(side, LineChannelChoices.BOTH))
        moved |= (
            here
            & Q(line__isnull=False)
            & (covered & ~AS_INTENDED | ~covered & ~Q(desired_mode=AccessModeChoices.NORMAL))
        )
    return run.changes.aggregate(
        stale=Count('pk', filter=stale),
        unverified=Count('pk', filter=unverified),
        renamed=Count('pk', filter=renamed),
        foreign=Count('pk', filter=foreign),
        moved=Count('pk', filter=moved & ~Q(desired_mode='')),
        review=Count('pk', filter=Q(line__contract__review_requested_at__isnull=False)),
        essential=Count('pk', filter=Exists(_essential_holds(now)) | Exists(_exempting_rules())),
    )


AS_INTENDED = Q(desired_mode=F('line__intended_mode')) & (
    ~Q(desired_mode=AccessModeChoices.THROTTLED)
    | Q(desired_down_kbps=F('line__intended_down_kbps'), desired_up_kbps=F('line__intended_up_kbps'))
)


def _essential_holds(now: datetime) -> QuerySet[Hold]:
    return Hold.objects.filter(
        Q(ended_at__isnull=True) | Q(ended_at__gt=now),
        contract=OuterRef('line__contract'),
        kind=HoldKindChoices.ESSENTIAL,
        starts_at__lte=now,
        ends_at__gt=now,
    )


def _exempting_rules() -> QuerySet[GraceRule]:
    tags = TaggedItem.objects.filter(
        content_type=ContentType.objects.get_for_model(Contract), object_id=OuterRef(OuterRef('line__contract'))
    )
    mine = Q(tier=OuterRef('line__contract__tier')) & ~Q(tier='') | Q(for_tag__in=tags.values('tag'))
    return GraceRule.objects.filter(mine, policy=OuterRef('line__contract__policy'), exempt=True)


def _frozen(run: EnforcementRun, user: User | None, now: datetime) -> list[tuple[str, int, str]]:
    """Feeds that are silent or switched off, and take nothing until they are heard; and those that nobody watches."""
    counts = run.changes.order_by().values_list('line__contract__source').annotate(count=Count('pk'))
    rows = dict(counts)
    late = _('Billing source {source} is silent or disabled: its {rows} rows will be skipped.')
    unwatched = _(
        'Billing source {source} is not watched: whether payments of its {rows} rows still reach us is not known.'
    )
    found = []
    for source in BillingSource.objects.filter(pk__in=list(rows)).order_by('name'):
        name = source.name if user is None or may_see(user, source) else f'#{source.pk}'
        if not source.enabled or source.is_late(now):
            found.append(('frozen', rows[source.pk], late.format(source=name, rows=rows[source.pk])))
        elif source.heartbeat_minutes is None:
            found.append(('unwatched', rows[source.pk], unwatched.format(source=name, rows=rows[source.pk])))
    return found


def _modes(run: EnforcementRun) -> list[tuple[str, int, str]]:
    """Rows that their point's or their policy's mode holds back."""
    taking = Q(desired_mode__in=(AccessModeChoices.THROTTLED, AccessModeChoices.BLOCKED))
    observe, assist = EnforcementModeChoices.OBSERVE, EnforcementModeChoices.ASSIST
    observed = Q(point__mode=observe) | Q(line__contract__policy__mode=observe)
    assisted = ~observed & (Q(point__mode=assist) | Q(line__contract__policy__mode=assist))
    counts = run.changes.filter(taking).aggregate(
        observe=Count('pk', filter=observed), assist=Count('pk', filter=assisted)
    )
    return [
        (kind, counts[kind], text.format(rows=counts[kind]))
        for kind, text in (
            ('observe', _('{rows} rows are only observed, by their point or policy: they will be skipped.')),
            ('assist', _('{rows} rows are assisted, by their point or policy: a person approves and starts them.')),
        )
    ]


def _unchecked(run: EnforcementRun, hidden: Mapping[int, str], now: datetime) -> list[tuple[str, int, str]]:
    """Points where one cannot rely on a block: never checked, long ago, or with something missing."""
    settings = EnforcementSettings.load()
    rows = run.changes.filter(desired_mode__in=(AccessModeChoices.THROTTLED, AccessModeChoices.BLOCKED)).order_by()
    taking = dict(rows.values_list('point').annotate(count=Count('pk')))
    points = sorted(with_hosts(list(taking)).values(), key=lambda point: point.name)
    reasons = [(taking[point.pk], why_unchecked(point, settings, now, hidden.get(point.pk, ''))) for point in points]
    return [('unchecked', rows, f'{reason}.') for rows, reason in reasons if reason]
