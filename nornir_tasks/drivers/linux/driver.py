"""A Linux BRAS over SSH: HTB shaping of each line's access interface, and a walled garden in nftables.

Made for boxes where each line has an access interface of its own: PPPoE (`ppp12`), IPoE per session (`ipoe7`), a VLAN
a subscriber (`vlan100.7`). The line is found by its addresses, its circuit ID (the interface's name), or both, which
must then agree. An interface that several homes share is refused.

What lasts: the walled garden is keyed by address, so a blocked line stays blocked through a reconnect *with the same
address*; where addresses are dynamic, block through RADIUS. Shaping hangs on the interface and is gone when a session's
interface is made anew. Neither survives a reboot of the BRAS. There is thus no stored policy here; what was lost reads
as normal, which is drift, and a reconcile run repairs it.

Known limits: flows that a flowtable offloads bypass the forward hook, and so the wall, until they end; `tc` before
iproute2 6.7 shows rates from 1 Gbit/s on in whole Mbit/s only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any, cast

from pydantic import Field

from nornir_tasks.change import AccessChange, AccessTarget, Reading, Reply
from nornir_tasks.drivers.base import Abilities, Driver, Finding, SSHPointParameters, unsent
from nornir_tasks.drivers.linux import nft, tc
from nornir_tasks.drivers.linux.batch import Command, Output, run
from nornir_tasks.drivers.linux.check import CHECKS, check_outputs
from nornir_tasks.drivers.linux.plan import TABLE, LinuxLine, Row, plan_row, reading_of
from nornir_tasks.drivers.linux.select import (
    NoSessionError,
    Routes,
    Selector,
    find_interface,
    find_overlaps,
    find_segment,
    inner_address,
    select,
)
from nornir_tasks.drivers.linux.tc import LineError, Shaper

DEFAULT_TABLE = 'netbox_access'
FOREIGN_SET = r'^(ip|ip6|inet) [A-Za-z_][A-Za-z0-9_.-]{0,60} [A-Za-z_][A-Za-z0-9_.-]{0,60}$'
DEFAULT_QDISC = '0:'  # the handle of what the kernel puts there by itself


class LinuxDriver(Driver):
    """Every read is two commands and every apply one, for any number of lines."""

    name = 'linux'
    identities = (('circuit_id', 'ipv4', 'ipv6'),)
    abilities = Abilities(throttle=True, block=True, stored=False, live=True, redirect=True, ipv6=True, check=True)

    class PointParameters(SSHPointParameters):
        """Parameters of an enforcement point."""

        sudo: bool = Field(False, description='Run tc, ip and nft through `sudo -n`')
        access_interfaces: tuple[str, ...] = Field(
            ('*',), min_length=1, description='Patterns of names of access interfaces; others are never touched'
        )
        classid: str = Field(
            '', pattern=r'^([0-9a-f]{1,4}:[0-9a-f]{1,4})?$',
            description="The line's class where other software shapes with HTB; empty: its only leaf class",
        )  # fmt: skip
        upload_interface: str = Field(
            '', pattern=r'^([A-Za-z0-9_.-]*\{interface\}[A-Za-z0-9_.-]*)?$',
            description='Upload device of each {interface} where other software makes one; empty: one of our own',
        )  # fmt: skip
        table: str = Field(DEFAULT_TABLE, pattern=r'^[a-z][a-z0-9_]{0,30}$', description='Name of our nftables table')
        portal_ipv4: IPv4Address | None = Field(None, description='Where blocked lines see the notice page')
        portal_ipv6: IPv6Address | None = Field(None, description='The same for IPv6')
        portal_port: int = Field(80, ge=1, le=65535, description='TCP port of the notice page')
        resolvers: tuple[IPv4Address | IPv6Address, ...] = Field((), description='DNS servers of blocked lines')
        foreign_sets: tuple[Annotated[str, Field(pattern=FOREIGN_SET)], ...] = Field(
            (), description='Sets of nftables by which somebody else restricts, as "inet filter bloqueados": shown, '
            'never touched, never taken for normal',
        )  # fmt: skip
        allowed: tuple[IPv4Network | IPv6Network, ...] = Field((), description='What blocked lines may reach as well')

    def __init__(self, connection: Any, parameters: Mapping[str, Any]) -> None:
        super().__init__(connection, parameters)
        self.given = given = cast(LinuxDriver.PointParameters, self.parameters)
        self.garden = nft.WalledGarden(
            given.portal_ipv4, given.portal_ipv6, given.portal_port, given.resolvers, given.allowed
        )

    def check(self, now: datetime) -> list[Finding]:
        """Programs, privileges, clock, and whether blocked lines have a notice page and DNS."""
        outputs = run(self.connection, {name: self._command(line) for name, line in CHECKS.items()})
        return check_outputs(outputs, self.given.table, self.garden, now, self.given.foreign_sets)

    # --- reading -----------------------------------------------------------------------------------------------

    def read(self, targets: Sequence[AccessTarget]) -> dict[str, Reading]:
        """`live` is what the tables give now; `stored` is set only where part of a line's addresses are walled."""
        errors: dict[str, str] = {}
        selectors: dict[str, Selector] = {}
        for target in targets:
            try:
                selectors[target.key] = select(target, self.garden)
            except LineError as error:
                errors[target.key] = str(error)
        if not selectors:
            return {key: Reading(error=error) for key, error in errors.items()}
        former = {target.key: self._former_table(target) for target in targets}
        outputs = self._survey(selectors, {table for table in former.values() if table})
        walled_lines = self._walled_lines(outputs['nft'])
        walled_before = {
            table: nft.parse_table(table, self.garden, outputs[f'former-{table}'].json()).walled
            for table in former.values()
            if table and not _is_missing(outputs[f'former-{table}'])
        }
        errors |= find_overlaps(selectors, walled_lines.walled)
        left = {
            key: tuple(
                (former[key], network)
                for network in selector.networks
                if network in walled_before.get(former[key], frozenset())
            )
            for key, selector in selectors.items()
        }
        gone: set[str] = set()
        lines = self._find_lines(selectors, outputs, walled_lines, errors, left, gone)
        lines = self._read_shaping(lines, outputs['qdiscs'].json(), errors)
        readings = {}
        for target in targets:
            if target.key not in errors:
                try:
                    readings[target.key] = reading_of(target, lines[target.key], walled_lines)
                    continue
                except LineError as error:
                    errors[target.key] = str(error)
            readings[target.key] = Reading(error=errors[target.key], absent=self._is_gone(target, gone, outputs))
        return self._with_foreign(readings, selectors, outputs)

    def _former_table(self, target: AccessTarget) -> str:
        """The table that the line was walled in, if the point names another one by now."""
        table = str((target.restricted.get('point') or {}).get('table', DEFAULT_TABLE)) if target.restricted else ''
        return table if table != self.given.table and TABLE.fullmatch(table) else ''

    def _is_gone(self, target: AccessTarget, gone: set[str], outputs: Mapping[str, Output]) -> bool:
        """Nothing of ours is left: no wall, and the interface that was shaped is no more."""
        shaped = (target.restricted.get('after') or {}).get('interface')
        return target.key in gone and shaped not in {qdisc['dev'] for qdisc in outputs['qdiscs'].json()}

    def _with_foreign(
        self, readings: dict[str, Reading], selectors: Mapping[str, Selector], outputs: Mapping[str, Output]
    ) -> dict[str, Reading]:
        for name in self.given.foreign_sets:
            output = outputs[f'foreign-{name}']
            members = nft.Members() if _is_missing(output) else nft.parse_set(name, output.json())
            for key, selector in selectors.items():
                if any(members.hold(network) for network in selector.networks):
                    foreign = (*readings[key].foreign, f'set {name}')
                    readings[key] = replace(readings[key], foreign=foreign)
        return readings

    def _command(self, line: str, stdin: Sequence[str] = ()) -> Command:
        return Command(f'sudo -n {line}' if self.given.sudo else line, stdin)

    def _survey(self, selectors: Mapping[str, Selector], former: Collection[str]) -> dict[str, Output]:
        gets = [
            f'route get fibmatch {inner_address(network)}'
            for selector in selectors.values()
            for network in selector.networks
        ]
        commands = {
            'default4': self._command('ip -j route show default'),
            'default6': self._command('ip -j -6 route show default'),
            'on_link4': self._command('ip -j route show scope link'),
            'on_link6': self._command('ip -j -6 route show proto kernel'),
            'qdiscs': self._command('tc -j qdisc show'),
            'nft': self._command(f'nft -j list table inet {self.given.table}'),
        }
        for table in former:
            commands[f'former-{table}'] = self._command(f'nft -j list table inet {table}')
        for name in self.given.foreign_sets:
            commands[f'foreign-{name}'] = self._command(f'nft -j list set {name}')
        if gets:
            commands['routes'] = self._command('ip -j -force -batch -', gets)
        return run(self.connection, commands)

    def _walled_lines(self, output: Output) -> nft.WalledLines:
        if _is_missing(output):
            return nft.WalledLines()
        return nft.parse_table(self.given.table, self.garden, output.json())

    def _find_lines(
        self,
        selectors: Mapping[str, Selector],
        outputs: Mapping[str, Output],
        walled_lines: nft.WalledLines,
        errors: dict[str, str],
        left: Mapping[str, tuple[tuple[str, nft.Network], ...]],
        gone: set[str],
    ) -> dict[str, LinuxLine]:
        """`left` is what of each line is walled in a former table; to `gone` are added those that are not there."""
        routes = Routes.parse(
            outputs['default4'].json() + outputs['default6'].json(),
            outputs['on_link4'].json() + outputs['on_link6'].json(),
        )
        count = sum(len(selector.networks) for selector in selectors.values())
        matches = iter(outputs['routes'].json_lines(count) if count else ())
        known = {qdisc['dev'] for qdisc in outputs['qdiscs'].json()}
        lines: dict[str, LinuxLine] = {}
        owners: dict[str, str] = {}
        for key, selector in selectors.items():
            own = [next(matches) for _ in selector.networks]
            walled = tuple(network for network in selector.networks if network in walled_lines.walled)
            try:
                interface = find_interface(selector, own, routes, self.given.access_interfaces, known)
                upload = self._upload_device(interface)
            except LineError as error:
                # Letting out needs no interface: who pays while the session is down comes back to an open line.
                if walled or left[key]:
                    lines[key] = LinuxLine('', '', selector.networks, None, None, walled, str(error), left[key])
                else:
                    errors.setdefault(key, str(error))
                    if isinstance(error, NoSessionError):
                        gone.add(key)
                continue
            other = owners.setdefault(interface, key)
            if other != key:
                errors[key] = errors[other] = f'{interface} is the access interface of two lines'
            segment = find_segment(interface, selector.networks, routes)
            lines[key] = LinuxLine(interface, upload, selector.networks, None, None, walled, segment, left[key])
        return lines

    def _upload_device(self, interface: str) -> str:
        pattern = self.given.upload_interface
        device = pattern.replace('{interface}', interface) if pattern else tc.upload_device(interface)
        if not tc.INTERFACE.fullmatch(device):
            raise LineError(f'"{device}" cannot be the name of an interface')
        return device

    def _read_shaping(
        self, lines: Mapping[str, LinuxLine], qdiscs: Sequence[Any], errors: dict[str, str]
    ) -> dict[str, LinuxLine]:
        roots = {qdisc['dev']: qdisc for qdisc in qdiscs if qdisc.get('root')}
        filtered = {qdisc['dev'] for qdisc in qdiscs if qdisc['kind'] in ('ingress', 'clsact')}
        devices = [
            device
            for line in lines.values()
            for device in (line.interface, line.upload)
            if roots.get(device, {}).get('kind') == 'htb' or device in filtered
        ]
        shaping: dict[str, tc.Shaping] = {}
        if devices:
            command = self._command('tc -j -d -force -batch -', tc.shaping_queries(devices))
            shaping = tc.parse_shaping(devices, run(self.connection, {'shaping': command})['shaping'])
        shaped: dict[str, LinuxLine] = {}
        for key, line in lines.items():
            try:
                shaped[key] = self._shaped(line, roots, shaping)
            except LineError as error:
                errors.setdefault(key, str(error))
        return shaped

    def _shaped(self, line: LinuxLine, roots: Mapping[str, Any], shaping: Mapping[str, tc.Shaping]) -> LinuxLine:
        down, obstacle = self._class_of(line.interface, roots, shaping)
        up = None
        redirects = shaping[line.interface].redirects if line.interface in shaping else ()
        if redirects == (line.upload,):
            up, why = self._class_of(line.upload, roots, shaping)
            obstacle = obstacle or why or ('' if up else f'{line.upload} takes the upload, but does not shape it')
        elif redirects:
            obstacle = obstacle or f'the ingress of {line.interface} has filters of other software'
        elif self.given.upload_interface:
            obstacle = obstacle or f'the upload of {line.interface} is not redirected to {line.upload}'
        return replace(line, down=down, up=up, obstacle=line.obstacle or obstacle)

    def _class_of(
        self, device: str, roots: Mapping[str, Any], shaping: Mapping[str, tc.Shaping]
    ) -> tuple[Shaper | None, str]:
        root = roots.get(device)
        if root is None or root['handle'] == DEFAULT_QDISC:
            return None, ''
        if root['kind'] != 'htb':
            return None, f'{device} is shaped by {root["kind"]}, not by HTB: only blocking works there'
        if device not in shaping:
            raise LineError(f'the shaping of {device} changed while it was read: read it again')
        return tc.pick_class(device, shaping[device].leaves, self.given.classid), ''

    # --- writing -----------------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        """One `tc -batch` and one atomic `nft -f` for all rows. A refused row is not sent, the others are.

        All rows go out as one, so that `stop` is asked once, before them.
        """
        if self.stop():
            return unsent(changes)
        replies: dict[str, Reply] = {}
        rows: dict[str, Row] = {}
        selectors: dict[str, Selector] = {}
        for change in changes:
            try:
                selectors[change.key] = selector = select(change.target, self.garden)
                line = LinuxLine.from_detail(before[change.target.key].detail, selector.networks)
                rows[change.key] = plan_row(change, line)
            except LineError as error:
                replies[change.key] = Reply(False, str(error))
        for key, sentence in find_overlaps(selectors, ()).items():
            replies.setdefault(key, Reply(False, sentence))
        rows = {key: row for key, row in rows.items() if key not in replies}
        return replies | self._send(rows)

    def _send(self, rows: Mapping[str, Row]) -> dict[str, Reply]:
        ip_lines = [(key, line) for key, row in rows.items() for line in row.ip]
        tc_lines = [(key, line) for key, row in rows.items() for line in row.tc]
        walled = {key for key, row in rows.items() if row.wall or row.unwall or row.former}
        commands = {}
        if ip_lines:
            commands['ip'] = self._command('ip -force -batch -', [line for _, line in ip_lines])
        if tc_lines:
            commands['tc'] = self._command('tc -force -batch -', [line for _, line in tc_lines])
        if walled:
            wall = [network for row in rows.values() for network in row.wall]
            unwall = [network for row in rows.values() for network in row.unwall]
            script = nft.change_lines(self.given.table, self.garden, wall, unwall)
            script += nft.former_lines(pair for row in rows.values() for pair in row.former)
            commands['nft'] = self._command('nft -f -', script)
        outputs = run(self.connection, commands) if commands else {}
        said: dict[str, str] = {}
        for name, lines in (('ip', ip_lines), ('tc', tc_lines)):
            if lines:
                for number, complaint in outputs[name].failed_lines().items():
                    key, line = lines[number]
                    if not any(words in complaint for words in tc.ALREADY_THERE):
                        said.setdefault(key, f'`{name} {line}`: {complaint}')
        if walled and outputs['nft'].status:
            complaint = ' '.join(outputs['nft'].stderr.split())[:300]
            said |= {key: f'nft loaded nothing: {complaint}' for key in walled if key not in said}
        return {key: Reply(key not in said, said.get(key, '')) for key in rows}


def _is_missing(output: Output) -> bool:
    """Whether nft says that there is no such table or set."""
    return bool(output.status) and 'No such file or directory' in output.stderr
