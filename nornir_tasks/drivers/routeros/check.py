"""What a RouterOS box must have before lines can be restricted there, and the exact lines to add. Reads only.

The lines restrict members of one address list and nobody else. Everything goes before the first rule of its chain:
a rule that accepts or fasttracks established connections would let those of a restricted line go on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from nornir_tasks.drivers.base import Finding
from nornir_tasks.drivers.clock import clock_finding, clock_of
from nornir_tasks.drivers.routeros.box import Run, is_true, parse_rates
from nornir_tasks.drivers.routeros.parameters import RouterOSPoint
from nornir_tasks.drivers.routeros.syntax import parse_rows, quote, rows_command
from nornir_tasks.errors import EnforcementError

Row = Mapping[str, str]
NEEDED_POLICIES = ('ssh', 'read', 'write')
RULE = ('.id', 'chain', 'action', 'src-address-list', 'disabled', 'dynamic')
STOPS = ('drop', 'reject', 'tarpit', 'jump')  # a jump is somebody's own way of restricting; it is trusted


def check_router(run: Run, login: str, point: RouterOSPoint, now: datetime) -> list[Finding]:
    """Raises `EnforcementError` where the router does not answer as one."""

    def rows(menu: str, fields: Sequence[str]) -> list[dict[str, str]]:
        (answer,) = run([rows_command(menu, fields)])
        return parse_rows(answer, fields, menu)

    findings = [_privileges(rows, login), _clock(rows, now), *_profiles(rows, point)]
    findings += _Firewall(rows, point, 'ip').check()
    if point.ipv6:
        try:
            findings += _Firewall(rows, point, 'ipv6').check()
        except EnforcementError as error:
            text = (
                f'{error}; enable the ipv6 package (version 6: /system package enable ipv6, then a reboot), or set '
                '"ipv6" of this point to false where lines have none'
            )
            findings.append(Finding('ipv6 firewall', ok=False, message=text))
    return findings


Rows = Callable[[str, Sequence[str]], list[dict[str, str]]]


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


@dataclass(frozen=True)
class _Firewall:
    rows: Rows
    point: RouterOSPoint
    family: str

    @property
    def portal(self) -> str:
        address = self.point.portal_ipv4 if self.family == 'ip' else self.point.portal_ipv6
        return str(address or '')

    def check(self) -> list[Finding]:
        rules = self._chain('filter', 'forward')
        findings = [self._wall(rules)]
        if self.family == 'ip':
            findings.append(self._redirect())
        return findings + self._fasttrack(rules)

    def _chain(self, table: str, chain: str) -> list[dict[str, str]]:
        found = self.rows(f'{self.family} firewall {table}', RULE)
        return [row for row in found if row['chain'] == chain and not is_true(row['disabled'])]

    def _add(self, table: str, chain: str, rest: str, first: str) -> str:
        listed = quote(self.point.restricted_list)
        place = f' place-before={first}' if first else ''
        return f'/{self.family} firewall {table} add chain={chain} src-address-list={listed} {rest}{place}'

    def _wall(self, rules: Sequence[Row]) -> Finding:
        """DNS and the portal pass, and nothing else of who is in the list."""
        subject = f'{self.family} firewall'
        listed = self.point.restricted_list
        for rule in rules:
            if rule['action'] in STOPS and rule['src-address-list'] == listed:
                return Finding(subject, ok=True, message=f'rule {rule[".id"]} stops "{listed}"')
        # Dynamic rules (fasttrack's counter) stand first and cannot be placed before.
        first = next((rule['.id'] for rule in rules if not is_true(rule['dynamic'])), '')
        wanted = ['action=accept protocol=udp dst-port=53', 'action=accept protocol=tcp dst-port=53']
        if self.portal:
            wanted.append(f'action=accept dst-address={self.portal} protocol=tcp dst-port={self.point.portal_port}')
        wanted.append('action=reject' if self.family == 'ipv6' else 'action=drop')
        lines = tuple(self._add('filter', 'forward', rest, first) for rest in wanted)
        return Finding(subject, ok=False, message=f'nothing stops members of "{listed}"', add=lines)

    def _redirect(self) -> Finding:
        """HTTP of who is in the list goes to the portal; a blocked line that sees nothing calls the help desk."""
        rules = self._chain('nat', 'dstnat')
        listed = self.point.restricted_list
        if any(rule['src-address-list'] == listed for rule in rules):
            return Finding('notice page', ok=True, message=f'HTTP of "{listed}" is redirected')
        if not self.portal:
            text = f'HTTP of "{listed}" goes nowhere: set "portal_ipv4" of this point to have it redirected'
            return Finding('notice page', ok=False, message=text, required=False)
        rest = f'action=dst-nat protocol=tcp dst-port=80 to-addresses={self.portal} to-ports={self.point.portal_port}'
        first = next((rule['.id'] for rule in rules if not is_true(rule['dynamic'])), '')
        line = self._add('nat', 'dstnat', rest, first)
        return Finding('notice page', ok=False, message=f'HTTP of "{listed}" is not redirected', add=(line,))

    def _fasttrack(self, rules: Sequence[Row]) -> list[Finding]:
        """Fasttracked connections see neither simple queues nor later rules: a throttled line would not be."""
        warnings = []
        for rule in rules:
            if rule['action'] == 'fasttrack-connection' and not is_true(rule['dynamic']):
                text = (
                    f'rule {rule[".id"]} fasttracks: connections it takes pass simple queues by, so a throttled line '
                    'is not throttled. Whether the router can do without is yours to judge: '
                    f'/{self.family} firewall filter disable {rule[".id"]}, or give the rule a src-address-list and a '
                    'dst-address-list that leave subscribers out'
                )
                warnings.append(Finding(f'{self.family} fasttrack', ok=False, message=text, required=False))
        return warnings
