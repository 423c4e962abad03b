"""Whether a router's firewall really stops who is in our list, and which lists of others it stops. Reads only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nornir_tasks.drivers.base import Finding
from nornir_tasks.drivers.routeros.box import Profile, Run, is_true
from nornir_tasks.drivers.routeros.names import Names
from nornir_tasks.drivers.routeros.parameters import RouterOSLine, RouterOSPoint
from nornir_tasks.drivers.routeros.syntax import quote

Row = Mapping[str, str]
Rows = Callable[[str, Sequence[str]], list[dict[str, str]]]
RULE = ('.id', 'chain', 'action', 'src-address-list', 'disabled', 'dynamic')
FILTER = (
    *RULE, 'protocol', 'dst-port', 'src-address', 'dst-address', 'dst-address-list', 'connection-state',
    'in-interface', 'jump-target',
)  # fmt: skip
STOPS = ('drop', 'reject', 'tarpit')
DEEPEST = 8  # chains that jump into each other
# What providers call those who do not pay; only to offer a name that no parameter has yet.
LIKELY = re.compile(
    r'bloq|inadimpl|suspen|cort[ae]|devedor|atras|calot|reduzid|block|overdue|unpaid|debt', re.IGNORECASE
)


def find_stop(rules: Sequence[Row], listed: str) -> tuple[bool, str]:
    """Whether a packet of a member comes to a rule that stops it, whatever it is; and the sentence on it."""
    verdict, rule = _walk(rules, 'forward', listed, inside=False, depth=0)
    if verdict == 'stops':
        return True, f'rule {rule} stops "{listed}"'
    if verdict == 'passes':
        return False, f'rule {rule} lets members of "{listed}" pass before any other could stop them'
    partly = [row['.id'] for row in rules if row['src-address-list'] == listed and row['action'] in (*STOPS, 'jump')]
    if partly:
        return False, f'no rule stops all that members of "{listed}" send: {", ".join(partly)} takes a part of it only'
    return False, f'nothing stops members of "{listed}"'


def _walk(rules: Sequence[Row], chain: str, listed: str, *, inside: bool, depth: int) -> tuple[str, str]:
    """`stops` or `passes` with the rule that does, or neither. `inside`: only members come to this chain."""
    for rule in rules:
        if rule['chain'] != chain or rule['src-address'] or rule['src-address-list'] not in ('', listed):
            continue
        of_members = inside or rule['src-address-list'] == listed
        takes_all = not _is_narrow(rule)
        if rule['action'] in STOPS and of_members and takes_all:
            return 'stops', rule['.id']
        if rule['action'] == 'jump' and takes_all and depth < DEEPEST:
            verdict, where = _walk(rules, rule['jump-target'], listed, inside=of_members, depth=depth + 1)
            if verdict:
                return verdict, where
        if rule['action'] == 'accept' and takes_all and not rule['in-interface']:
            return 'passes', rule['.id']
        if rule['action'] == 'return' and takes_all and chain != 'forward':
            return '', ''
    return '', ''


def _is_narrow(rule: Row) -> bool:
    """Whether it takes only a part of what is sent. All but some destinations is all, as far as it matters here."""
    where = [rule[name] for name in ('dst-address', 'dst-address-list') if rule[name]]
    states = re.split(r'[;,]', rule['connection-state']) if rule['connection-state'] else ['new']
    positive = any(not text.startswith('!') for text in where)
    return bool(rule['protocol'] or rule['dst-port'] or positive or 'new' not in states)


def foreign_names(run: Run, rows: Rows, point: RouterOSPoint) -> list[Finding]:
    """Lists and profiles by which somebody else seems to restrict, and that the point's parameters do not name."""
    names = Names.of(point, RouterOSLine.model_validate({}), {})
    profiles = [
        Profile(row['name'], None, row['address-list']) for row in rows('ppp profile', ('name', 'address-list'))
    ]
    lists = {profile.address_list: f'profile "{profile.name}" fills it' for profile in profiles if profile.address_list}
    for table, actions in (('filter', (*STOPS, 'jump')), ('nat', ('dst-nat', 'redirect'))):
        for rule in rows(f'ip firewall {table}', RULE):
            name = rule['src-address-list']
            if name and not name.startswith('!') and rule['action'] in actions and not is_true(rule['disabled']):
                lists.setdefault(name, f'rule {rule[".id"]} of {table} takes its members')
    findings = []
    for name, why in sorted(lists.items()):
        if name in names.lists:
            continue
        (count,) = run([f'/ip firewall address-list print count-only where list={quote(name)}'])
        text = f'{count.strip() or "0"} entries; {why}'
        if names.is_foreign_list(name):
            findings.append(Finding(f'list "{name}"', ok=True, message=f"another's: {text}"))
        else:
            text += (
                ': if somebody else restricts lines by it, name it in "foreign_lists"; until then it passes for normal'
            )
            findings.append(Finding(f'list "{name}"', ok=False, message=text, required=False))
    for profile in profiles:
        if names.is_foreign_profile(profile):
            findings.append(Finding(f'profile "{profile.name}"', ok=True, message="another's restriction"))
        elif LIKELY.search(profile.name) and not names.is_restricting(profile) and profile.name not in names.throttled:
            text = (
                'if somebody else restricts lines by it, name it in "foreign_profiles"; until then it passes for normal'
            )
            findings.append(Finding(f'profile "{profile.name}"', ok=False, message=text, required=False))
    return findings


@dataclass(frozen=True)
class Firewall:
    rows: Rows
    point: RouterOSPoint
    family: str

    @property
    def portal(self) -> str:
        address = self.point.portal_ipv4 if self.family == 'ip' else self.point.portal_ipv6
        return str(address or '')

    def check(self) -> list[Finding]:
        every = [row for row in self.rows(f'{self.family} firewall filter', FILTER) if not is_true(row['disabled'])]
        rules = [row for row in every if row['chain'] == 'forward']
        findings = [self._wall(every, rules)]
        if self.family == 'ip':
            findings.append(self._redirect())
        return findings + self._fasttrack(rules)

    def _chain(self, table: str, chain: str, fields: Sequence[str] = RULE) -> list[dict[str, str]]:
        found = self.rows(f'{self.family} firewall {table}', fields)
        return [row for row in found if row['chain'] == chain and not is_true(row['disabled'])]

    def _add(self, table: str, chain: str, rest: str, first: str) -> str:
        listed = quote(self.point.restricted_list)
        place = f' place-before={first}' if first else ''
        return f'/{self.family} firewall {table} add chain={chain} src-address-list={listed} {rest}{place}'

    def _wall(self, every: Sequence[Row], rules: Sequence[Row]) -> Finding:
        """DNS and the portal pass, and nothing else of who is in the list."""
        subject = f'{self.family} firewall'
        listed = self.point.restricted_list
        stopped, text = find_stop(every, listed)
        if stopped:
            return Finding(subject, ok=True, message=text)
        # Dynamic rules (fasttrack's counter) stand first and cannot be placed before.
        first = next((rule['.id'] for rule in rules if not is_true(rule['dynamic'])), '')
        wanted = ['action=accept protocol=udp dst-port=53', 'action=accept protocol=tcp dst-port=53']
        if self.portal:
            wanted.append(f'action=accept dst-address={self.portal} protocol=tcp dst-port={self.point.portal_port}')
        wanted.append('action=reject' if self.family == 'ipv6' else 'action=drop')
        lines = tuple(self._add('filter', 'forward', rest, first) for rest in wanted)
        return Finding(subject, ok=False, message=text, add=lines)

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
