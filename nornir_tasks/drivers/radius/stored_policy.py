"""What a user's rows in FreeRADIUS's tables mean, and which rows a state wants. Pure, no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Mode
from nornir_tasks.radius.attributes import Pair
from nornir_tasks.radius.dialects import DialectError, get_dialect, values_for

GENERATED = re.compile(r'.+-([0-9]+)k-([0-9]+)k')
ADD_REPLY = 'INSERT INTO radgroupreply (groupname, attribute, op, value) VALUES '
MAX_NAME = 64  # characters of a name in the MySQL schema; a longer one would be cut, and be another's

Row = tuple[str, str, str]  # attribute, operator, value


class PolicyError(Exception):
    """The rows cannot be read as a state, or a state cannot be stored. Nothing is written; `str()` says what to do."""


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A user's groups in the order of their priority, and the user's own replies that decide about rates or a block.

    `rejected`: the user's own check rows turn every login away, which is not our doing and never touched.
    """

    groups: tuple[tuple[str, int], ...] = ()
    reply: tuple[Row, ...] = ()
    rejected: bool = False

    def as_detail(self) -> dict[str, Any]:
        """Fit for JSON and for `Reading.detail`; `from_detail` is its inverse."""
        return {'groups': [list(group) for group in self.groups], 'reply': [list(row) for row in self.reply]}

    @classmethod
    def from_detail(cls, detail: Mapping[str, Any]) -> StoredPolicy:
        return cls(
            tuple((name, priority) for name, priority in detail.get('groups', ())),
            tuple((name, operator, value) for name, operator, value in detail.get('reply', ())),
        )


@dataclass(frozen=True, slots=True)
class PolicyNames:
    """How this point, and this line's plan, name the states."""

    blocked: str
    throttled: str
    normal: str
    create: bool
    rates: Mapping[str, tuple[int, int]]
    dialect: str


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group to write before users are put into it: `base`'s replies, with those that decide replaced by `reply`."""

    name: str
    base: str
    reply: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """The tables' groups with their replies, as they are now, and how they are to be read."""

    names: PolicyNames
    groups: Mapping[str, tuple[Pair, ...]]  # reply (attribute, value) pairs by group; one without rows is missing

    def state(self, policy: StoredPolicy) -> AccessState:
        """What the next session will get. Raises `PolicyError`."""
        if policy.rejected:
            return AccessState.blocked()
        group = policy.groups[0][0] if policy.groups else ''
        if group and group == self.names.blocked:
            return AccessState.blocked()
        if group and (group == self.names.throttled or self._is_generated(group)):
            rates = self._rates(group)
            if rates is None:
                raise PolicyError(
                    f'the rates of group "{group}" are not known: its replies do not tell in dialect '
                    f'"{self.names.dialect}", and the point\'s "group_rates" does not name it'
                )
            return AccessState.throttled(*rates)
        return AccessState.normal()

    def wanted(
        self, now: StoredPolicy, change: AccessChange, remembered: StoredPolicy | None
    ) -> tuple[StoredPolicy, NewGroup | None]:
        """The rows that store `change.desired`, and the group they need made. Raises `PolicyError`, `DialectError`."""
        if now.rejected and change.desired.mode is not Mode.BLOCKED:
            raise PolicyError('its radcheck rows reject every login, which is not our doing: remove them by hand')
        if now.rejected:
            return now, None
        if change.exact:
            return StoredPolicy.from_detail(change.exact), None
        priority = now.groups[0][1] if now.groups else 1
        if change.desired.mode is Mode.BLOCKED:
            self._must_block()
            return StoredPolicy(((self.names.blocked, priority),)), None
        if change.desired.mode is Mode.THROTTLED:
            return self._throttled(now, change, remembered, priority)
        return self._normal(now, change.target, remembered, priority), None

    def _throttled(
        self, now: StoredPolicy, change: AccessChange, remembered: StoredPolicy | None, priority: int
    ) -> tuple[StoredPolicy, NewGroup | None]:
        wanted = (change.desired.down_kbps or 0, change.desired.up_kbps or 0)
        if self.names.throttled and self._rates(self.names.throttled) == wanted:
            return StoredPolicy(((self.names.throttled, priority),)), None
        base = self._base(now, change.target, remembered)
        name = f'{base or "nbd"}-{wanted[0]}k-{wanted[1]}k'
        made = StoredPolicy(((name, priority),))
        if self.names.create and self._rates(name) == wanted:
            return made, None
        reply = self._reply(change.desired)
        if self.names.create and name not in self.groups and reply and len(name) <= MAX_NAME:
            return made, NewGroup(name, base, reply)
        line = ADD_REPLY + _values(name, reply)
        named = f'"{self.names.throttled}"' if self.names.throttled else 'named by "throttled_group"'
        raise PolicyError(f'no group {named} gives {change.desired}: {line}; and set it as "throttled_group"')

    def _normal(
        self, now: StoredPolicy, target: AccessTarget, remembered: StoredPolicy | None, priority: int
    ) -> StoredPolicy:
        recorded = StoredPolicy.from_detail(target.baseline) if 'groups' in target.baseline else None
        # What the database itself remembers was true when we replaced it; the baseline may be of an earlier time.
        for policy in (remembered, recorded):
            if policy is not None and self.state(policy).mode is Mode.NORMAL:
                return policy  # even where its group has no rows: it may be one that only a policy of unlang looks at
        if self.names.normal:
            if self.names.normal not in self.groups:
                raise PolicyError(f'the plan\'s group "{self.names.normal}" is not in the database')
            return StoredPolicy(((self.names.normal, priority),))
        if self.state(now).mode is Mode.NORMAL:
            return now
        raise PolicyError('no group to go back to: none was recorded, and the plan\'s "group" names none')

    def _base(self, now: StoredPolicy, target: AccessTarget, remembered: StoredPolicy | None) -> str:
        try:
            normal = self._normal(now, target, remembered, 1)
        except PolicyError:
            return ''
        return normal.groups[0][0] if normal.groups else ''

    def _must_block(self) -> None:
        """A group without rows is accepted by FreeRADIUS and restricts nothing: the line would get all there is."""
        if not self.groups.get(self.names.blocked):
            line = ADD_REPLY + _values(self.names.blocked, self._reply(AccessState.blocked()))
            raise PolicyError(f'group "{self.names.blocked}" has no replies, so it would restrict nothing: {line}')

    def missing_blocked_group(self) -> str:
        """The statement that makes the blocked group; empty where it is there, or the dialect cannot say."""
        reply = self._reply(AccessState.blocked())
        if self.groups.get(self.names.blocked) or not reply:
            return ''
        return ADD_REPLY + _values(self.names.blocked, reply)

    def _is_generated(self, group: str) -> bool:
        matched = GENERATED.fullmatch(group)
        return bool(self.names.create and matched and self._rates(group) == (int(matched[1]), int(matched[2])))

    def _rates(self, group: str) -> tuple[int, int] | None:
        return get_dialect(self.names.dialect).rates_in(self.groups.get(group, ())) or self.names.rates.get(group)

    def _reply(self, state: AccessState) -> tuple[Pair, ...]:
        values = values_for(state, (None, None), self.names.blocked if state.mode is Mode.BLOCKED else '')
        try:
            return tuple(get_dialect(self.names.dialect).reply(state, values))
        except DialectError:
            return ()


def _values(group: str, reply: tuple[Pair, ...]) -> str:
    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    rows = with_operators(reply or (('<attribute>', '<value>'),))
    return ', '.join(f"({quoted(group)}, {quoted(name)}, '{op}', {quoted(value)})" for name, op, value in rows)


def with_operators(reply: tuple[Pair, ...]) -> list[Row]:
    """The reply as rows. A second `:=` of the same attribute would replace the first, so that it is `+=`."""
    seen: set[str] = set()
    rows: list[Row] = []
    for name, value in reply:
        rows.append((name, '+=' if name in seen else ':=', value))
        seen.add(name)
    return rows
