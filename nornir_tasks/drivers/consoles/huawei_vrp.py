"""Huawei ME60 and NE40E (VRP 5 and 8) over SSH: what a session has, local users' groups, and ending one session.

Two ways to be used, by `users`:

- `radius`: the policy is kept in RADIUS and written there first. Here sessions are read, and ended where they differ.
- `local`: the policy is the user group of a `local-user` on the box, changed here, after which the session is ended.

A session is ended by its user name only. `cut access-user domain` ends thousands, and no code here can say it. A
session whose QoS profile or user group does not exist is put offline by the box (`no-exist-policy`), so the names are
looked up on the box before anything is sent that would have a user come back with one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Literal, cast

from pydantic import Field, ValidationError

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Mode, Reading, Reply
from nornir_tasks.connections.ssh.shell import Prompt
from nornir_tasks.drivers.base import Abilities, Finding, fields_of, unsent
from nornir_tasks.drivers.clock import clock_of
from nornir_tasks.drivers.consoles.base import ConsoleDriver
from nornir_tasks.drivers.consoles.session import (
    POLICY_NAME,
    Commands,
    ConsoleLine,
    ConsolePoint,
    ConsoleSession,
    NotSentError,
    PolicyMeaning,
    check_obstacle,
    check_recorded,
    check_username,
    require_shell_text,
    state_of,
)
from nornir_tasks.errors import EnforcementError

Kind = Literal['qos-profile', 'user-group']
SHOW_KIND: Mapping[str, str] = {
    'qos-profile': 'display qos-profile configuration {name}',
    'user-group': 'display user-group {name}',
}
# Field names differ by release; compared in small letters with dashes as spaces.
STARTS = ('user access index', 'user id')
USERNAME, DOMAIN, ADDRESS, GROUP = 'user name', 'domain name', 'user ip address', ('user group', 'user group name')
NO_USER = re.compile(r'no online user|user does not exist|no such user|total users\s*:\s*0\b', re.IGNORECASE)
NO_NAME = re.compile(r'does not exist|no such|not found|not configured', re.IGNORECASE)
CLOCK = re.compile(r'(\d{4})-(\d\d)-(\d\d) (\d\d:\d\d:\d\d)')
ZONE = re.compile(r'Time Zone\s*\([^)]*\)\s*:\s*UTC(?:([+-])(\d\d):(\d\d))?')


class VRPMeaning(PolicyMeaning):
    """See `PolicyMeaning`; `kind` says what the name is the name of."""

    kind: Kind = 'qos-profile'


class VRPPoint(ConsolePoint):
    """Parameters of a Huawei BRAS."""

    policies: Mapping[str, VRPMeaning] = Field(
        default_factory=dict,
        description='What QoS profiles and user groups mean, such as {"slow-1m": {"mode": "throttled", "down_kbps": '
        '1000, "up_kbps": 512}, "walled": {"kind": "user-group", "mode": "blocked"}}; others are normal',
    )
    users: Literal['radius', 'local'] = Field('radius', description='Where the policy of a line is kept')
    default_domain: str = Field(
        '', pattern=r'^[A-Za-z0-9._-]*$', description='Domain of user names that are written without one'
    )
    two_stage: bool = Field(False, description='VRP 8: a changed local user takes effect with `commit`')


class VRPLine(ConsoleLine):
    """Parameters of a plan or line: what it has when all is normal."""

    qos_profile: str = Field('', pattern=f'{POLICY_NAME}|^$', description='QoS profile of the plan')
    user_group: str = Field('', pattern=f'{POLICY_NAME}|^$', description='User group of the plan')


class HuaweiVRPDriver(ConsoleDriver):
    """See the module. `connection` is an `SSHSession`."""

    name = 'huawei_vrp'
    abilities = Abilities(
        throttle=True, block=True, stored=True, live=False, redirect=True, ipv6=True, check=True, clear=True
    )
    prompt: ClassVar[Prompt] = Prompt(
        # HRP_M and HRP_S stand before the name of one of two boxes that back each other up.
        re.compile(r'(?:HRP_[A-Z]+)?(?:<|\[[~*]?)(?P<host>[^<>\[\]\r\n]+)[>\]]'),
        setup=('screen-length 0 temporary', 'screen-width 511', 'undo terminal monitor'),
        more=re.compile(r'-{2,} ?More ?(?:\(\d+%\) ?)?-{2,}'),
        noise=re.compile(r'#?[A-Z][a-z]{2} +\d+ \d{4} \d\d:\d\d:\d\d.* (?:%%\d\d|\S+/\d/)'),
    )
    failure: ClassVar[re.Pattern[str]] = re.compile(r'^\s*Error:(?!.*(?:[Nn]o online user|user does not exist))')
    enter = ('system-view', 'aaa')
    leave = ('return',)
    clock_command = 'display clock'
    count_command = 'display access-user | include Total users'
    count: ClassVar[re.Pattern[str]] = re.compile(r'Total users\s*:\s*(\d+)', re.IGNORECASE)
    clear_needs = 'level 3, or task groups with execute on aaa-access: local-aaa-user … privilege level 3'

    class PointParameters(VRPPoint):
        """See `VRPPoint`."""

    class LineParameters(VRPLine):
        """See `VRPLine`."""

    # --- pure ---

    @property
    def vrp(self) -> VRPPoint:
        return cast(VRPPoint, self.parameters)

    def show_command(self, username: str) -> str:
        return f'display access-user username {username} verbose'

    def fold(self, name: str) -> str:
        return name.lower()  # the box does so with what RADIUS sends, unless `radius-attribute case-sensitive`

    def is_user(self, shown: str, wanted: str) -> bool:
        # Without regard to case, as the command reference has it for user names.
        full = f'{wanted}@{self.vrp.default_domain}' if '@' not in wanted and self.vrp.default_domain else wanted
        return shown.lower() in (wanted.lower(), full.lower())

    def parse_sessions(self, answer: str) -> list[ConsoleSession]:
        if NO_USER.search(answer):
            return []
        require_shell_text(answer, re.compile(r'User name\s*:'))
        blocks: list[list[tuple[str, str]]] = []
        for line in answer.split('\n'):
            name, colon, value = line.partition(':')
            key = ' '.join(name.lower().replace('-', ' ').split())
            if not colon:
                continue
            if key in STARTS:
                blocks.append([])
            if blocks:
                blocks[-1].append((key, value.strip().removesuffix('(Radius)').strip()))
        return [_session(block) for block in blocks]

    def clear_commands(self, session: ConsoleSession) -> tuple[str, ...]:
        return (f'cut access-user username {check_username(session.username)} all',)

    def parse_clock(self, answer: str) -> datetime | None:
        found, zone = CLOCK.search(answer), ZONE.search(answer)
        if not found or not zone:
            return None
        offset = (int(zone[2]) * 60 + int(zone[3])) * (-1 if zone[1] == '-' else 1) if zone[1] else 0
        return clock_of(found[1], found[2], found[3], found[4], offset)

    # --- reading ---

    def read(self, targets: Sequence[AccessTarget]) -> dict[str, Reading]:
        readings = super().read(targets)
        if self.vrp.users == 'radius':
            return readings
        known = [target for target in targets if not readings[target.key].error]
        answers = self._ask([f'display local-user username {target.username}' for target in known])
        for target, answer in zip(known, answers, strict=True):
            readings[target.key] = self._with_local_user(readings[target.key], answer, target.restricted)
        return readings

    def _with_local_user(self, reading: Reading, answer: str, restricted: Mapping[str, Any]) -> Reading:
        if found := re.search(r'^\s*Error:.*user does not exist.*$', answer, re.MULTILINE):
            text = f'no policy is kept for the user on the box: {found[0].strip()}'
            return Reading(error=text, absent=reading.live is None)
        if said := self.complaint(answer):
            return Reading(error=f'no policy is kept for the user on the box: {said}')
        fields = dict(_fields(answer))
        if not any(key in fields for key in (*GROUP, 'user name', 'username', 'state')):
            return Reading(error=f'the local user is not understood: "{" ".join(answer.split())[:120]}"')
        group = _known(next((fields[key] for key in GROUP if key in fields), ''))
        names = [group] if group else []
        stored = state_of(names, self.meanings(restricted), self.fold)
        # Of several sessions that differ, the live state is that of one that is not as the group.
        live = reading.stored if reading.stored is not None and reading.live == stored else reading.live
        foreign = tuple(dict.fromkeys((*self.foreign(names, restricted), *reading.foreign)))
        return replace(reading, stored=stored, live=live, detail={**reading.detail, 'group': group}, foreign=foreign)

    # --- changing ---

    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        """Rows whose profile or group is not on the box are refused before anything is sent.

        What restricts needs to find it there. What relaxes is refused only where the box says that it is
        not: a release that has other words for the question must not keep anybody blocked.
        """
        wanted: dict[str, list[tuple[str, str]]] = {}
        replies: dict[str, Reply] = {}
        for change in changes:
            try:
                names = self._names(change, before[change.target.key])
                wanted[change.key] = [(kind, check_recorded(name)) for kind, name in names]
            except NotSentError as error:
                replies[change.key] = Reply(False, f'nothing was sent: {error}')
        try:
            there = self._look_up({pair for pairs in wanted.values() for pair in pairs})
        except EnforcementError:
            if self.stop():  # it broke off its looking for that
                return unsent(changes)
            raise
        for change in changes:
            if change.key in replies:
                continue
            gives_back = change.desired.mode is Mode.NORMAL
            fine = (True, None) if gives_back else (True,)
            lacking = [f'{kind} "{name}"' for kind, name in wanted[change.key] if there[kind, name] not in fine]
            if lacking:
                text = f'nothing was sent: the box has no {", no ".join(lacking)}, and puts users with such one offline'
                replies[change.key] = Reply(False, text)
        rest = [change for change in changes if change.key not in replies]
        return replies | super().apply(rest, before)

    def _line(self, change: AccessChange) -> VRPLine:
        """The plan's parameters. Wrong ones forbid to restrict; a way back is looked for without them."""
        try:
            return VRPLine.model_validate(dict(change.target.parameters))
        except ValidationError as error:
            if change.desired.mode is not Mode.NORMAL:
                raise NotSentError(f'its parameters are wrong: {fields_of(error)}') from None
            return VRPLine.model_validate({})

    def _names(self, change: AccessChange, before: Reading) -> list[tuple[str, str]]:
        """Every profile and group that a line so changed may come back with."""
        line = self._line(change)
        if change.desired.mode is not Mode.NORMAL:
            return [(kind, name) for name, kind in self._policies_for(change.desired).items()]
        names = [('qos-profile', line.qos_profile), ('user-group', line.user_group)]
        if self.vrp.users == 'local':
            names = [('user-group', self._wanted_group(change, before))]
        return [(kind, name) for kind, name in names if name]

    def _policies_for(self, state: AccessState) -> dict[str, str]:
        return {name: meaning.kind for name, meaning in self.vrp.policies.items() if meaning.state() == state}

    def _normal_group(self, change: AccessChange, present: str) -> str:
        """The present one where it is none of ours; else another's of before, which stays theirs; else the normal."""
        line = self._line(change)
        restricted = change.target.restricted
        if self._is_ours(present, restricted):
            before = str((restricted.get('before') or {}).get('group', ''))
            recorded = change.target.baseline.get('group')
            candidates = [before] if self.foreign([before], restricted) else []
            candidates += [line.user_group if recorded is None else str(recorded), line.user_group]
            for group in candidates:
                theirs = self.foreign([group], restricted) and group != before
                if not self._is_ours(group, restricted) and not theirs:
                    return group
            names = ', '.join(f'"{group}"' for group in dict.fromkeys(candidates))
            raise NotSentError(f'no user group to go back to from "{present}": {names} is no normal one')
        return present

    def _is_ours(self, group: str, restricted: Mapping[str, Any]) -> bool:
        names = [group] if group else []
        return state_of(names, self.meanings(restricted), self.fold).mode is not Mode.NORMAL

    def missing_names(self, names: Collection[str]) -> set[str]:
        """A name that is not listed in `policies` is taken for a QoS profile's."""
        known = {self.fold(name): meaning.kind for name, meaning in self.vrp.policies.items()}
        safe = [name for name in names if re.fullmatch(POLICY_NAME, name)]
        pairs: set[tuple[str, str]] = {(known.get(self.fold(name), 'qos-profile'), name) for name in safe}
        return {name for _, name in self._missing(pairs)}

    def _missing(self, names: set[tuple[str, str]]) -> set[tuple[str, str]]:
        return {pair for pair, there in self._look_up(names).items() if not there}

    def _look_up(self, names: set[tuple[str, str]]) -> dict[tuple[str, str], bool | None]:
        """Whether the box has each; `None` where its answer does not tell."""
        wanted = sorted(names)
        answers = self._ask([SHOW_KIND[kind].format(name=name) for kind, name in wanted])
        return {
            pair: True if self._is_there(pair[1], answer) else False if NO_NAME.search(answer) else None
            for pair, answer in zip(wanted, answers, strict=True)
        }

    def _is_there(self, name: str, answer: str) -> bool:
        said = '\n'.join(line for line in answer.split('\n') if not re.match(r'\s*(?:Error|Info|Warning):', line))
        return re.search(rf'(?<![\w.-]){re.escape(name)}(?![\w.-])', said, re.IGNORECASE) is not None

    def commands_for(self, change: AccessChange, before: Reading) -> Commands:
        if self.vrp.users == 'radius':
            if change.desired.mode is not Mode.NORMAL and not self._policies_for(change.desired):
                raise NotSentError(f'no name in "policies" of this point means "{change.desired}"')
            return super().commands_for(change, before)
        check_obstacle(change, before)
        user = check_username(change.target.username)
        group = self._wanted_group(change, before)
        first: list[str] = []
        if group != before.detail['group']:
            first.append(f'local-user {user} user-group {group}' if group else f'undo local-user {user} user-group')
            first += ['commit'] if self.vrp.two_stage else []
        return Commands(tuple(first), self.ending(change, before))

    def _wanted_group(self, change: AccessChange, before: Reading) -> str:
        recorded: str | None = None
        if 'group' in change.exact:
            recorded = str(change.exact['group'])
        elif change.desired.mode is Mode.NORMAL:
            recorded = self._normal_group(change, str(before.detail['group']))
        if recorded is not None:
            return check_recorded(recorded) if recorded else ''
        groups = [name for name, kind in self._policies_for(change.desired).items() if kind == 'user-group']
        if len(groups) != 1:
            raise NotSentError(
                f'{len(groups) or "no"} user groups in "policies" of this point mean "{change.desired}"; exactly one '
                'is needed'
            )
        return groups[0]

    # --- preparing ---

    def check(self, now: datetime) -> list[Finding]:
        findings = super().check(now)
        pairs = {(meaning.kind, name) for name, meaning in self.vrp.policies.items()}
        missing = self._missing(cast(set[tuple[str, str]], pairs))
        for kind, name in sorted(pairs):
            there = (kind, name) not in missing
            text = 'is on the box' if there else 'is not on the box, which puts users with it offline; it needs a '
            text += '' if there else f'definition of its own: system-view, {kind} {name}, …'
            findings.append(Finding(f'{kind} "{name}"', ok=there, message=text))
        return findings


def _session(block: Sequence[tuple[str, str]]) -> ConsoleSession:
    fields: dict[str, str] = {}
    policies: list[str] = []
    for key, value in block:
        fields.setdefault(key, value)
        if _known(value) and (key in GROUP or 'qos profile' in key) and value not in policies:
            policies.append(value)
    username = fields.get(USERNAME, '')
    domain = _known(fields.get(DOMAIN, ''))
    if not username:
        raise ValueError('a session without a user name')
    handle = next(fields[key] for key in STARTS if key in fields)
    return ConsoleSession(username, handle, _known(fields.get(ADDRESS, '')), tuple(policies), {'domain': domain})


def _fields(answer: str) -> list[tuple[str, str]]:
    pairs = [line.partition(':') for line in answer.split('\n') if ':' in line]
    return [(' '.join(name.lower().replace('-', ' ').split()), value.strip()) for name, _, value in pairs]


def _known(value: str) -> str:
    return '' if value in ('-', '--', 'null', 'NULL') else value
