"""What was left behind: planned to be lifted where somebody has a right to that place, adopted, let go of, and told of.

A line's own plan gives back what is ours at its present place. Here is the rest: the old name, the box it left, what a
retired or deleted line had, for whoever has a right to it now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from nornir_tasks.change import AccessState

from ..choices import LiftedChoices, LineChannelChoices, LineStatusChoices, PointStatusChoices, RunKindChoices
from ..choices import RunStatusChoices as Status
from ..errors import RunRefusedError
from ..events import send_restore_late
from ..models import AccessLine, EnforcementChange, EnforcementRun, Restriction
from ..models.restriction import Place
from ..models.sides import FOREIGN, IDENTITY, OBSERVED, POINT, RESTRICTION, is_free, is_over_enforced
from ..models.state import set_state, state_fields
from .approval import approve_run
from .ownership import target_of
from .plan import make_run

if TYPE_CHECKING:
    from users.models import User


__all__ = ('adopt', 'holders', 'let_go', 'lift', 'note_owed', 'plan_lifts', 'unplanned_lifts')

DEFAULT_HOURS = 24  # as the policy's own default: for what no policy says anything about


def unplanned_lifts() -> QuerySet[Restriction]:
    """Left behind, with a right to be lifted, at a point that is worked, and in no run that goes on."""
    return _plannable(Restriction.objects.with_a_right()).exclude(retry_at__gt=Now())


def _plannable(restrictions: QuerySet[Restriction]) -> QuerySet[Restriction]:
    rows = EnforcementChange.objects.filter(restriction=OuterRef('pk'), outcome='', run__status__in=Status.OPEN)
    return restrictions.filter(~Exists(rows), lifted_at__isnull=True, point__status=PointStatusChoices.ACTIVE)


@transaction.atomic
def plan_lifts(
    restrictions: QuerySet[Restriction], now: datetime, *, author: User | None = None, name: str = '', reason: str = ''
) -> list[EnforcementRun]:
    """A run, approved as it is made, that lifts these where they are; none where there is nothing to do."""
    rows = []
    for restriction in restrictions.order_by('pk').select_related('point'):
        row = EnforcementChange(
            restriction=restriction,
            point=restriction.point,
            channel=restriction.side,
            identity=restriction.identity,
            names={key: value for key, value in restriction.target.items() if key in NAMES},
            reason=reason or 'left behind, and nothing is owed any more',
        )
        set_state(row, 'expected', restriction.state)
        set_state(row, 'desired', AccessState.normal())
        rows.append(row)
    if not rows:
        return []
    run = make_run(rows, RunKindChoices.RESTORE, name or f'left behind {now:%Y-%m-%d %H:%M}', author=author)
    approve_run(run, run.plan_hash, now)
    return [run]


NAMES = ('username', 'circuit_id', 'ipv4', 'ipv6', 'mac', 'cwmp_id')


def holders(restrictions: Collection[Restriction]) -> Mapping[Place, AccessLine]:
    """The active lines that have these places now."""
    found: dict[Place, AccessLine] = {}
    for side in LineChannelChoices.SIDES:
        here = [restriction for restriction in restrictions if restriction.side == side]
        lines = AccessLine.objects.filter(
            **{
                f'{POINT[side]}__in': {restriction.point_id for restriction in here},
                f'{IDENTITY[side]}__in': {restriction.identity for restriction in here},
            },
            status=LineStatusChoices.ACTIVE,
        )
        for line in lines if here else ():
            found[getattr(line, f'{POINT[side]}_id'), getattr(line, IDENTITY[side]), side] = line
    return found


def lift(restrictions: QuerySet[Restriction], user: User, now: datetime) -> list[EnforcementRun]:
    """A person has these lifted, whoever left them behind. Raises `RunRefusedError` where none of them can be.

    What is at a line's present place is the line's: it is given back as policy wants it.
    """
    chosen = _plannable(restrictions.filter(pk__in=Restriction.objects.left_behind().order_by().values('pk')))
    runs = plan_lifts(chosen, now, author=user, reason=f'lifted by {user}')
    if not runs:
        raise RunRefusedError(
            'none of these is left behind at a point that is worked, or they are being lifted: a line that is active '
            'has its own back as policy wants it'
        )
    return runs


@transaction.atomic
def let_go(restrictions: QuerySet[Restriction], now: datetime) -> int:
    """A person says that these are no longer ours to lift: the box is gone, or somebody undid it there by hand."""
    chosen = restrictions.open().select_for_update(of=('self',)).order_by('pk')
    gone = list(chosen)
    for restriction in gone:
        restriction.snapshot()
        restriction.lift(LiftedChoices.DISOWNED, now)
        restriction.save(
            update_fields=[
                'lifted_at',
                'lifted_how',
                'finding',
                'waits_for_person',
                'attempts',
                'retry_at',
                'last_updated',
            ]
        )
    _detach([restriction.pk for restriction in gone])
    return len(gone)


def _detach(pks: Collection[int]) -> None:
    for side in LineChannelChoices.SIDES:
        AccessLine.objects.filter(**{f'{RESTRICTION[side]}__in': pks}).update(**{RESTRICTION[side]: None})


@transaction.atomic
def adopt(lines: QuerySet[AccessLine], user: User, now: datetime) -> list[Restriction]:
    """A person takes what another restricts for ours: from now on it is given back by policy. Returns what was adopted.

    What was there before it nobody has read: lifting it puts back what the plan says.
    """
    chosen = AccessLine.objects.filter(pk__in=lines.order_by().values('pk'), status=LineStatusChoices.ACTIVE)
    adopted = []
    locked = chosen.select_for_update(of=('self',)).order_by('pk')
    for line in locked.select_related('contract__plan', 'bras', 'acs'):
        touched: set[str] = set()
        for side in line.sides:
            if not line.foreign_at(side) or line.is_ours_at(side) or not line.identity_at(side):
                continue
            target, point, state = line.as_target(side), line.point_at(side), line.seen_at(side)
            restriction = Restriction(
                point=point,
                identity=line.identity_at(side),
                side=side,
                address=point.host,
                target=target_of(target),
                noted={
                    'point': point.parameters,
                    'line': dict(target.parameters),
                    'foreign': list(line.foreign_at(side)),
                },
                line=line,
                contract_id=line.contract_id,
                contract_name=str(line.contract),
                taken_at=now,
                adopted_by=str(user),
            )
            taken = state if state not in (None, AccessState.normal()) else AccessState.blocked()
            set_state(restriction, 'state', taken)
            restriction.save()
            setattr(line, RESTRICTION[side], restriction)
            setattr(line, FOREIGN[side], [])
            set_state(line, OBSERVED[side], taken)
            touched |= {RESTRICTION[side], FOREIGN[side], *state_fields(OBSERVED[side])}
            adopted.append(restriction)
        line.advance(**{name: getattr(line, name) for name in touched})
    return adopted


def note_owed(now: datetime) -> int:
    """Write down since when what is open is owed back, and tell of what is owed for longer than its policy says.

    Returns how many became late now.
    """
    owed = Q(pk__in=Restriction.objects.with_a_right().order_by().values('pk'))
    for side in LineChannelChoices.SIDES:
        lines = AccessLine.objects.drifting().filter(**{RESTRICTION[side]: OuterRef('pk')}).order_by()
        owed |= Q(side=side) & Exists(lines.filter(is_free(side) | is_over_enforced(side)))
    still = Restriction.objects.open()
    owed_now = still.filter(owed).order_by()
    still.filter(owed_since__isnull=False).exclude(pk__in=owed_now.values('pk')).update(owed_since=None, late_at=None)
    still.filter(owed_since__isnull=True, pk__in=owed_now.values('pk')).update(owed_since=now)
    late = []
    waiting = still.filter(owed_since__isnull=False, late_at__isnull=True)
    for restriction in waiting.select_related('contract__policy', 'point', 'line'):
        policy = restriction.contract.policy if restriction.contract else None
        hours = policy.restore_hours if policy else DEFAULT_HOURS
        if restriction.owed_since + timedelta(hours=hours) <= now:
            late.append(restriction)
    for restriction in late:
        restriction.advance(late_at=now)
        send_restore_late(restriction)
    return len(late)
