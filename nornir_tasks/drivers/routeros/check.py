"""What a RouterOS box must have before lines can be restricted there, and the exact lines to add. Reads only.

The lines restrict members of one address list and nobody else. Everything goes before the first rule of its chain:
a rule that accepts or fasttracks established connections would let those of a restricted line go on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from nornir_tasks.drivers.base import Finding
from nornir_tasks.drivers.clock import clock_finding, clock_of
from nornir_tasks.drivers.routeros.box import Run, parse_rates
from nornir_tasks.drivers.routeros.firewall import Firewall, Rows, foreign_names
from nornir_tasks.drivers.routeros.parameters import RouterOSPoint
from nornir_tasks.drivers.routeros.syntax import parse_rows, quote, rows_command
from nornir_tasks.errors import EnforcementError

NEEDED_POLICIES = ('ssh', 'read', 'write')


def check_router(run: Run, login: str, point: RouterOSPoint, now: datetime) -> list[Finding]:
    """Raises `EnforcementError` where the router does not answer as one."""

    def rows(menu: str, fields: Sequence[str]) -> list[dict[str, str]]:
        (answer,) = run([rows_command(menu, fields)])
        return parse_rows(answer, fields, menu)

    findings = [_privileges(rows, login), _clock(rows, now), *_profiles(rows, point), *foreign_names(run, rows, point)]
    findings += Firewall(rows, point, 'ip').check()
    if point.ipv6:
        try:
            findings += Firewall(rows, point, 'ipv6').check()
        except EnforcementError as error:
            text = (
                f'{error}; enable the ipv6 package (version 6: /system package enable ipv6, then a reboot), or set '
                '"ipv6" of this point to false where lines have none'
            )
            findings.append(Finding('ipv6 firewall', ok=False, message=text))
    return findings


def _privileges(rows: Rows, login: str) -> Finding:
    try:
        users = [row for row in rows('user', ('name', 'group')) if row['name'] == login]
        groups = {row['name']: row['policy'] for row in rows('user group', ('name', 'policy'))}
    except EnforcementError as error:
        text = f'what the login may do could not be read ({error}); it needs {", ".join(NEEDED_POLICIES)}'
        return Finding('privileges', ok=False, message=text, required=False)
    if not users:
        text = f'"{login}" is no local user (RADIUS?); its group needs {", ".join(NEEDED_POLICIES)}'
        return Finding('privileges', ok=False, message=text, required=False)
    group = users[0]['group']
    granted = set(re.split(r'[;,]', groups.get(group, '')))
    missing = [name for name in NEEDED_POLICIES if name not in granted]
    if not missing:
        return Finding('privileges', ok=True, message=f'group "{group}" has {", ".join(NEEDED_POLICIES)}')
    line = (
        f'/user group set [find name={quote(group)}] policy={",".join(sorted((granted - {""}) | set(NEEDED_POLICIES)))}'
    )
    text = f'group "{group}" of "{login}" lacks {", ".join(missing)}; somebody with full rights must add: {line}'
    return Finding('privileges', ok=False, message=text)


def _clock(rows: Rows, now: datetime) -> Finding:
    fields = ('date', 'time', 'gmt-offset')
    (row,) = rows('system clock', fields) or (dict.fromkeys(fields, ''),)
    return clock_finding(parse_clock(row['date'], row['time'], row['gmt-offset']), now)


def parse_clock(date: str, time: str, offset: str) -> datetime | None:
    """`2026-11-23` or, before 7.10, `nov/23/2026`; the offset in seconds, or as `-03:00`."""
    minutes = _offset_minutes(offset)
    if minutes is None:
        return None
    if found := re.fullmatch(r'(\d{4})-(\d\d)-(\d\d)', date):
        return clock_of(found[1], found[2], found[3], time, minutes)
    if found := re.fullmatch(r'([a-z]{3})/(\d\d)/(\d{4})', date, re.IGNORECASE):
        return clock_of(found[3], found[1], found[2], time, minutes)
    return None


def _offset_minutes(text: str) -> int | None:
    if re.fullmatch(r'-?\d+', text):
        seconds = int(text)
        # It is printed without a sign: west of Greenwich it is 2³² minus the offset.
        return (seconds - 2**32 if seconds >= 2**31 else seconds) // 60
    if found := re.fullmatch(r'([+-]?)(\d\d):(\d\d)(?::\d\d)?', text):
        return (int(found[2]) * 60 + int(found[3])) * (-1 if found[1] == '-' else 1)
    return None


def _profiles(rows: Rows, point: RouterOSPoint) -> list[Finding]:
    profiles = {row['name']: row for row in rows('ppp profile', ('name', 'rate-limit', 'address-list'))}
    name, listed = point.blocked_profile, point.restricted_list
    subject = f'profile "{name}"'
    if name not in profiles:
        used = Counter(row['profile'] for row in rows('ppp secret', ('profile',)))
        usual = next((profile for profile, _ in used.most_common() if profile in profiles), 'default')
        line = (
            f'/ppp profile add copy-from=[find name={quote(usual)}] name={quote(name)} rate-limit="" '
            f'address-list={quote(listed)}'
        )
        text = f'is missing; copied from "{usual}", which most secrets have, for its pools'
        findings = [Finding(subject, ok=False, message=text, add=(line,))]
    elif profiles[name]['address-list'] != listed:
        line = f'/ppp profile set [find name={quote(name)}] address-list={quote(listed)}'
        text = f'does not fill the address list "{listed}"'
        findings = [Finding(subject, ok=False, message=text, add=(line,))]
    else:
        findings = [Finding(subject, ok=True, message=f'fills the address list "{listed}"')]
    throttled = point.throttled_profile
    if throttled:
        rates = parse_rates(profiles[throttled]['rate-limit']) if throttled in profiles else None
        text = (
            f'{rates.down}/{rates.up} kbit/s' if rates else 'is missing or has no rate: /ppp profile add … rate-limit='
        )
        findings.append(Finding(f'profile "{throttled}"', ok=rates is not None, message=text))
    return findings
