"""Mass updates of CPEs: any parameters, for the lines that are chosen, as a run like any other.

It is planned, previewed, approved, sent in waves through the guard of the ACS, verified in a later session, and can be
reverted. What it sets stays set: an ACS gives it back to a device after a factory reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q, QuerySet

from nornir_tasks.change import CpeValue
from nornir_tasks.drivers import available_drivers, get_driver

from ..choices import LineChannelChoices, LineStatusChoices, RunKindChoices
from ..errors import RunRefusedError
from ..models import AccessLine, EnforcementChange, EnforcementRun
from ..reasons import Reason, ReasonCode
from ..runs.plan import make_run

if TYPE_CHECKING:
    from users.models import User


__all__ = ('acs_drivers', 'plan_profile', 'reachable_lines')


def acs_drivers() -> tuple[str, ...]:
    """Names of the drivers that set parameters of CPEs."""
    return tuple(name for name in available_drivers() if get_driver(name).abilities.cpe_values)


def reachable_lines(lines: QuerySet[AccessLine]) -> QuerySet[AccessLine]:
    """Those whose CPE an ACS is known to reach."""
    return lines.filter(~Q(cwmp_id=''), status=LineStatusChoices.ACTIVE, acs__driver__in=acs_drivers())


@transaction.atomic
def plan_profile(
    lines: QuerySet[AccessLine],
    values: Sequence[CpeValue],
    now: datetime,
    *,
    author: User | None = None,
    name: str = '',
) -> EnforcementRun:
    """A planned run that sets `values` at the CPEs of `lines`; the lines without a reachable CPE get no row.

    Raises `RunRefusedError` where none has one.
    """
    wanted = [[item.name, item.value, item.type] for item in values]
    reason = ', '.join(item.name.rpartition('.')[2] for item in values)[:200]
    rows = []
    for line in reachable_lines(lines).select_related('acs').order_by('pk'):
        row = EnforcementChange(values=wanted, reason=reason)
        row.be_about(line, LineChannelChoices.CPE)
        rows.append(row)
    if not rows:
        raise RunRefusedError(Reason.of(ReasonCode.NO_REACHABLE_CPE))
    title = name or f'{RunKindChoices.PROFILE} {now:%Y-%m-%d %H:%M}'
    return make_run(rows, RunKindChoices.PROFILE, title, author=author)
