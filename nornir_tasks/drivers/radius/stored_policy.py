"""What is kept of a user in FreeRADIUS's tables: rows, our part of them, names, groups to be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nornir_tasks.change import AccessState, Mode
from nornir_tasks.drivers.radius.server_decision import Item
from nornir_tasks.radius.attributes import Pair
from nornir_tasks.storable import unescape

ADD_REPLY = 'INSERT INTO radgroupreply (groupname, attribute, op, value) VALUES '
REJECTS = ' (Auth-Type := Reject)'  # behind the name of a group that does
MAX_NAME = 64  # characters of a name in the MySQL schema; a longer one would be cut, and be another's


class PolicyError(Exception):
    """The rows cannot be read as a state, or a state cannot be stored. Nothing is written; `str()` says what to do."""


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A user's groups in the order of their priority, and the user's own replies that decide about rates or a block.

    What others restrict is left out: it is not ours to write, nor to put back.
    """

    groups: tuple[tuple[str, int], ...] = ()
    reply: tuple[Item, ...] = ()

    def as_detail(self) -> dict[str, Any]:
        """Fit for JSON and for `Reading.detail`; `from_detail` is its inverse."""
        return {'groups': [list(group) for group in self.groups], 'reply': [list(row) for row in self.reply]}

    @classmethod
    def from_detail(cls, detail: Mapping[str, Any]) -> StoredPolicy:
        return cls(
            tuple((unescape(name), priority) for name, priority in detail.get('groups', ())),
            tuple((unescape(name), op, unescape(value)) for name, op, value in detail.get('reply', ())),
        )


@dataclass(frozen=True, slots=True)
class UserRows:
    """All rows by which the server decides about a user, in its order; groups with their priorities."""

    username: str
    check: tuple[Item, ...] = ()
    reply: tuple[Item, ...] = ()
    groups: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """The group that we put a user into, and the state that it was for."""

    group: str
    state: AccessState

    def as_dict(self) -> dict[str, Any]:
        return {'group': self.group, 'state': self.state.as_dict()}


@dataclass(frozen=True, slots=True)
class PolicyNames:
    """How this point, and this line's plan, name the states.

    `ours` are groups that were ours when a restriction was taken, by name, with their state where it is known.
    `restricted`: a restriction of ours is still open there.
    """

    blocked: str
    throttled: str
    normal: str
    create: bool
    rates: Mapping[str, tuple[int, int]]
    dialect: str
    ours: Mapping[str, AccessState | None] = field(default_factory=dict)
    foreign_groups: frozenset[str] = frozenset()
    foreign_lists: frozenset[str] = frozenset()
    harmless_lists: frozenset[str] = frozenset()
    restricted: bool = False
    recorded: frozenset[str] = frozenset()  # groups that were noted as normal, before we replaced them
    touched: bool = False  # we restricted it before, as `nbd_line` or NetBox knows


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group to write before users are put into it: `base`'s replies, with those that decide replaced by `reply`."""

    name: str
    base: str
    reply: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """What the tables hold of a line: our part (`policy` are its rows, `state` what they come to), and the others'."""

    policy: StoredPolicy
    state: AccessState
    foreign: tuple[str, ...] = ()
    foreign_groups: tuple[tuple[str, int], ...] = ()


def insert_replies(group: str, reply: tuple[Pair, ...]) -> str:
    """The statement that gives a group these replies."""

    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    rows = with_operators(reply or (('<attribute>', '<value>'),))
    return ADD_REPLY + ', '.join(
        f"({quoted(group)}, {quoted(name)}, '{op}', {quoted(value)})" for name, op, value in rows
    )


def with_operators(reply: tuple[Pair, ...]) -> list[Item]:
    """The reply as rows. A second `:=` of the same attribute would replace the first, so that it is `+=`."""
    seen: set[str] = set()
    rows: list[Item] = []
    for name, value in reply:
        rows.append((name, '+=' if name in seen else ':=', value))
        seen.add(name)
    return rows


def most_restrictive_but(state: AccessState, *others: AccessState | None) -> AccessState:
    """The most restrictive of `others` that is not `state`; where there is none, one as far from it as can be."""
    found: AccessState | None = None
    for other in others:
        if other is not None and other != state and (found is None or other.is_more_restrictive_than(found)):
            found = other
    return found or (AccessState.normal() if state.mode is Mode.BLOCKED else AccessState.blocked())
