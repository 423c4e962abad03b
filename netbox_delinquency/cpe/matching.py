"""Which device of an ACS is whose: matched by serial number, and written down as the line's CWMP ID.

A match must be the only one on both sides. Two devices with one serial, here or there, change nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from nornir_tasks.cpes import CpeInfo

from ..choices import LineStatusChoices
from ..models import AccessLine, EnforcementPoint

__all__ = ('Match', 'MatchReport', 'match_cpes', 'match_serials')

SHOWN = 500  # rows of each kind that a report names; the counts are of all


@dataclass(frozen=True, slots=True)
class Match:
    """A device of an ACS beside a line; `line` is 0 and `device` empty where there is none. `reason` says why not."""

    serial: str
    device: str = ''
    line: int = 0
    name: str = ''
    reason: str = ''


@dataclass
class MatchReport:
    """`filled` lines have a CWMP ID now, `known` had it. What is `ambiguous` or `unmatched` was left alone."""

    devices: int = 0
    known: int = 0
    filled: list[Match] = field(default_factory=list)
    ambiguous: list[Match] = field(default_factory=list)
    unmatched: list[Match] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Fit for a job's data: counts of all, and the first of each kind."""
        kinds = {name: getattr(self, name) for name in ('filled', 'ambiguous', 'unmatched')}
        found: dict[str, Any] = {'devices': self.devices, 'known': self.known}
        for name, matches in kinds.items():
            found[name] = len(matches)
            found[f'{name}_rows'] = [asdict(match) for match in matches[:SHOWN]]
        return found


def normal(serial: str) -> str:
    """A serial number as it is compared: people and CPEs differ in case, and in white space around it."""
    return serial.strip().upper()


def match_serials(devices: Sequence[CpeInfo], lines: Iterable[AccessLine], taken: frozenset[str]) -> MatchReport:
    """Pure: `lines` (with their CPE) of one ACS against its `devices`; `taken` are CWMP IDs that lines have already.

    `filled` are the matches to be written.
    """
    report = MatchReport(devices=len(devices))
    by_serial: dict[str, list[CpeInfo]] = defaultdict(list)
    for device in devices:
        by_serial[normal(device.serial)].append(device)
    lines_of: dict[str, list[AccessLine]] = defaultdict(list)
    for line in lines:
        if line.cwmp_id:
            report.known += 1
        elif line.cpe.serial.strip():
            lines_of[normal(line.cpe.serial)].append(line)
        else:
            report.unmatched.append(_match('', line, reason='the device in NetBox has no serial number'))
    for serial, wanting in sorted(lines_of.items()):
        found = by_serial.get(serial, [])
        if len(wanting) > 1:
            text = f'{len(wanting)} devices in NetBox have this serial number'
            report.ambiguous.extend(_match(serial, line, reason=text) for line in wanting)
        elif not found:
            report.unmatched.append(_match(serial, wanting[0], reason='the ACS has no device of this serial number'))
        elif len(found) > 1:
            text = f'{len(found)} devices of the ACS have this serial number: {", ".join(item.id for item in found)}'
            report.ambiguous.append(_match(serial, wanting[0], reason=text[:500]))
        elif found[0].id in taken:
            report.ambiguous.append(_match(serial, wanting[0], found[0].id, 'another line has this device'))
        else:
            report.filled.append(_match(serial, wanting[0], found[0].id))
    spoken_for = taken | {match.device for match in (*report.filled, *report.ambiguous)}
    report.unmatched.extend(
        Match(device.serial, device.id, reason='no line of this ACS has a CPE of this serial number')
        for device in devices
        if device.id not in spoken_for and normal(device.serial) not in lines_of
    )
    return report


def _match(serial: str, line: AccessLine, device: str = '', reason: str = '') -> Match:
    return Match(serial, device, line.pk, str(line), reason)


@transaction.atomic
def match_cpes(
    point: EnforcementPoint, devices: Sequence[CpeInfo], lines: QuerySet[AccessLine] | None = None
) -> MatchReport:
    """Match the ACS's devices to its lines' CPEs, and fill in the CWMP IDs that are missing.

    `lines` restricts it to these (those a user may change).
    """
    held = AccessLine.objects.filter(acs=point).exclude(status=LineStatusChoices.RETIRED)
    taken = frozenset(held.exclude(cwmp_id='').values_list('cwmp_id', flat=True))
    wanting = held.filter(cpe__isnull=False)
    if lines is not None:
        wanting = wanting.filter(pk__in=lines.order_by().values('pk'))
    by_key = {line.pk: line for line in wanting.select_related('cpe').select_for_update(of=('self',)).order_by('pk')}
    report = match_serials(devices, by_key.values(), taken)
    for match in report.filled:
        line = by_key[match.line]
        line.snapshot()
        line.cwmp_id = match.device
        line.save(update_fields=['cwmp_id', 'last_updated'])
    return report
