"""What is ours at a place: opened where a row is journaled as sent, closed by nothing but a reading.

Called within the transactions of the journal and of reconcile, which hold the lines of these places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nornir_tasks.change import AccessState, AccessTarget, ChangeResult, Outcome, Reading

from ..choices import LiftedChoices, LineChannelChoices
from ..models import AccessLine, EnforcementChange, EnforcementPoint, Restriction
from ..models.restriction import Place
from ..models.sides import RESTRICTION
from ..models.state import set_state, state_fields

__all__ = ('forget_unsent', 'note_attempts', 'note_readings', 'open_restrictions', 'target_of', 'was_reached')

# What a point refuses is not asked of it again every hour: after each try it is left for longer, for a person to look.
# What could not be reached is asked again as soon as it is read well.
PAUSES = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(hours=16), timedelta(days=1))

NORMAL = AccessState.normal()

ATTEMPTS = ['finding', 'waits_for_person', 'attempts', 'retry_at']


def target_of(target: AccessTarget) -> dict[str, Any]:
    """What is kept of a line's target: all that a driver selects and restores by."""
    names = ('username', 'circuit_id', 'ipv4', 'ipv6', 'mac', 'cwmp_id', 'down_kbps', 'up_kbps')
    return {**{name: getattr(target, name) for name in names}, 'parameters': dict(target.parameters)}


def open_restrictions(
    rows: Iterable[EnforcementChange], lines: Mapping[int, AccessLine], before: Mapping[int, Reading], now: datetime
) -> None:
    """These rows are sent next: whatever they take is ours from here on. `before` is by the row's primary key.

    What was open at a place stays what it is, and keeps what was there before it.
    """
    takes = [row for row in rows if row.desired is not None and row.desired != NORMAL and row.line_id in lines]
    if not takes:
        return
    known = Restriction.objects.at(row.place for row in takes)
    points = EnforcementPoint.objects.select_related('device', 'virtual_machine').in_bulk(
        {row.point_id for row in takes}
    )
    made: list[Restriction] = []
    kept: list[Restriction] = []
    for row in takes:
        held = known.get(row.place)
        if held is None:
            held = _take(row, lines[row.line_id], points[row.point_id], before[row.pk], now)
            made.append(held)
        else:
            set_state(held, 'state', row.desired)
            held.be_kept_from(lines[row.line_id])
            held.forget_attempts()
            kept.append(held)
    Restriction.objects.bulk_create(made, batch_size=500)
    columns = [*state_fields('state'), 'line', 'contract', 'contract_name', *ATTEMPTS]
    Restriction.objects.bulk_update(kept, columns, batch_size=500)
    by_place = {held.place: held for held in (*made, *kept)}
    for side in LineChannelChoices.SIDES:
        attached = []
        for row in takes:
            if row.channel == side:
                setattr(lines[row.line_id], RESTRICTION[side], by_place[row.place])
                attached.append(lines[row.line_id])
        AccessLine.objects.bulk_update(attached, [RESTRICTION[side]], batch_size=500)


def _take(
    row: EnforcementChange, line: AccessLine, point: EnforcementPoint, before: Reading, now: datetime
) -> Restriction:
    target = line.as_target(row.channel)
    noted: dict[str, Any] = {'point': point.parameters, 'line': dict(target.parameters)}
    if before.foreign:
        noted['before'] = dict(before.detail)  # another's, which stays theirs
    held = Restriction(
        point=point,
        identity=row.identity,
        side=row.channel,
        address=point.host,
        target={**target_of(target), **row.names},
        baseline=dict(before.detail) if before.is_baseline else {},
        noted=noted,
        change=row,
        change_number=row.pk,
        run_number=row.run_id,
        taken_at=now,
    )
    set_state(held, 'state', row.desired)
    held.be_kept_from(line)
    return held


def forget_unsent(rows: Iterable[int]) -> None:
    """These rows, by primary key, were journaled as sent and were not: what they alone opened was never taken."""
    Restriction.objects.open().filter(change__in=list(rows)).delete()


def note_readings(readings: Mapping[Place, Reading], as_of: datetime) -> dict[Place, Restriction]:
    """What is still open at these places, now that they were read; what is lifted, or gone, is closed.

    A restriction that was taken after `as_of` is not what was read.
    """
    held = Restriction.objects.at(readings)
    locked = Restriction.objects.select_for_update(of=('self',)).order_by('pk')
    open_now = {
        restriction.place: restriction
        for restriction in locked.filter(pk__in=[item.pk for item in held.values()], lifted_at__isnull=True)
    }
    closed: list[Restriction] = []
    read: list[Restriction] = []
    hosts = _hosts(place for place in open_now if readings[place].absent)
    for place, restriction in open_now.items():
        reading = readings[place]
        if restriction.taken_at > as_of:
            continue
        if reading.absent:
            if restriction.address in ('', hosts[restriction.point_id]):
                restriction.lift(LiftedChoices.GONE, as_of)
                closed.append(restriction)
                continue
            restriction.finding = (
                f'not at {hosts[restriction.point_id]}: it was taken at {restriction.address}, before the address of '
                'this point was changed; look there'
            )
            restriction.waits_for_person, restriction.retry_at = True, as_of + PAUSES[-1]
        elif not reading.error and reading.observed is not None:
            if reading.is_(NORMAL):
                restriction.lift(LiftedChoices.NORMAL, as_of)
                closed.append(restriction)
                continue
            restriction.noted = {**restriction.noted, 'after': dict(reading.detail)}
            restriction.last_read_at = as_of
            if not restriction.waits_for_person:
                restriction.forget_attempts()  # it answers again
        else:
            continue
        read.append(restriction)
    columns = ['lifted_at', 'lifted_how', 'last_read_at', 'noted', *ATTEMPTS]
    Restriction.objects.bulk_update([*closed, *read], columns, batch_size=500)
    gone = [restriction.pk for restriction in closed]
    if gone:
        for side in LineChannelChoices.SIDES:
            AccessLine.objects.filter(**{f'{RESTRICTION[side]}__in': gone}).update(**{RESTRICTION[side]: None})
    return {place: restriction for place, restriction in open_now.items() if restriction.is_open}


def _hosts(places: Iterable[Place]) -> dict[int, str]:
    points = EnforcementPoint.objects.select_related('device', 'virtual_machine')
    return {pk: point.host for pk, point in points.in_bulk({point for point, _, _ in places}).items()}


def was_reached(restriction: Restriction) -> bool:
    """Whether the last attempt to lift it read its place: a point that was silent then may be back at any moment."""
    if restriction.retry_at is None or restriction.last_read_at is None:
        return restriction.retry_at is None
    tried = restriction.retry_at - PAUSES[min(max(restriction.attempts, 1), len(PAUSES)) - 1]
    return restriction.last_read_at >= tried


def note_attempts(
    tried: Sequence[tuple[EnforcementChange, ChangeResult]], still: Mapping[Place, Restriction], now: datetime
) -> None:
    """Rows that were to give access back and did not: what is owed says why, and when it is tried again.

    What the point refused without a reason is noted whatever the row was to do: see `AccessTarget.restricted`.
    """
    noted = []
    for row, result in tried:
        restriction = still.get(row.place)
        if restriction is not None and result.after is not None and result.after.detail.get('unexplained'):
            restriction.noted = {**restriction.noted, 'unexplained': True}
            noted.append(restriction)
        if restriction is None or row.desired != NORMAL or result.outcome is Outcome.SKIPPED:
            continue
        if result.outcome.is_success or (result.before is not None and result.before.absent):
            continue  # of what is not there, `note_readings` has said all there is to say
        # Silence, and a session that has not followed what is stored, are asked again as soon as the point is read
        # well; what it refused is for a person to look at.
        passes = result.outcome in (Outcome.UNKNOWN, Outcome.PARTIAL)
        restriction.waits_for_person = not passes and result.before is not None
        restriction.finding = result.message[:500]
        restriction.retry_at = now + PAUSES[min(restriction.attempts, len(PAUSES) - 1)]
        restriction.attempts += 1
        noted.append(restriction)
    by_key = {restriction.pk: restriction for restriction in noted}
    Restriction.objects.bulk_update(by_key.values(), ['noted', *ATTEMPTS], batch_size=500)
