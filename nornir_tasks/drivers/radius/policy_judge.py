"""How a user's rows are read, and which are wanted: what is ours of what FreeRADIUS would answer, what others'. Pure.

What the server would answer is for `server_decision` to say; here it is told apart what of that is ours: groups that
this point names (or named when a restriction was taken, or that `nbd_line` says we wrote). A login that somebody else
turns away, and groups and lists that the point calls foreign, are theirs: they are read, never written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby, permutations, product
from typing import Any

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Mode
from nornir_tasks.drivers.radius.server_decision import (
    USER,
    GroupRows,
    Item,
    ServerAnswer,
    UndecidableError,
    answers_to,
    expiration_of,
    is_password,
    is_reject,
)
from nornir_tasks.drivers.radius.stored_policy import (
    MAX_NAME,
    REJECTS,
    NewGroup,
    PolicyError,
    PolicyNames,
    Stored,
    StoredPolicy,
    UserRows,
    insert_replies,
)
from nornir_tasks.radius.attributes import Pair
from nornir_tasks.radius.dialects import DialectError, get_dialect, values_for

GENERATED = re.compile(r'.+-([0-9]+)k-([0-9]+)k')
MOST_ORDERS = 24  # of groups with one priority, which a database gives in any order
# Rates of a group of ours that can be read nowhere: it restricts, and is neither normal nor what a plan asks for.
UNKNOWN_RATES = AccessState.throttled(1, 1)


@dataclass(frozen=True, slots=True)
class Judge:
    """The tables' groups with their rows, as they are now, and how they are to be read."""

    names: PolicyNames
    groups: Mapping[str, GroupRows]  # one without rows of any kind is missing
    now: datetime | None = None

    # Reading

    def stored(self, rows: UserRows) -> Stored:
        """What the next session will get. Raises `PolicyError` where that cannot be said.

        Of a line that we restrict it is always said what our part is: what else may decide is then named as foreign,
        so that it is given back what is ours.
        """
        open_questions: list[str] = []
        foreign: list[str] = []
        theirs = set[tuple[str, str]]()
        own = rows
        try:
            while True:
                answers = self._answers(own)
                open_questions += [why for answer in answers for why in self._open(answer)]
                foreign += [why for answer in answers for why in self._expired(answer)]
                found = [self._others_in(answer, own) for answer in answers]
                new = set[tuple[str, str]]().union(*found)
                if not new:
                    break
                if any(each != found[0] for each in found):
                    open_questions.append('whether ' + ', '.join(sorted(_label(*part) for part in new)) + ' is met')
                foreign += [_label(*part) for part in sorted(new)]
                theirs |= new
                if (less := _without(own, theirs)) == own:
                    break
                own = less
            if self._has_password(own) and not all(answer.can_be_proven for answer in answers):
                open_questions.append('whether its password counts, which is in a row that does not always match')
            states = {self._state_of(answer) for answer in answers}
        except UndecidableError as error:
            # Our own part can still be told from the names of the groups alone.
            states = {self._state_of(ServerAnswer(tuple(name for name, _ in own.groups)))}
            open_questions.append(str(error))
        if len(states) > 1:
            open_questions.append(f'whether it is {" or ".join(sorted(map(str, states)))}')
        state = max(states, key=_weight)
        if open_questions:
            said = '; '.join(dict.fromkeys(open_questions))
            is_sure = state.mode is not Mode.NORMAL and len(states) == 1
            if not (is_sure or self.names.restricted or self.names.touched):
                raise PolicyError(f'the tables alone do not say what FreeRADIUS answers: it depends on {said}')
            foreign += list(dict.fromkeys(open_questions))
        self._require_known(own, state)
        kept = tuple(group for group in own.groups)
        reply = tuple(item for item in own.reply if self._decides(item))
        lost = tuple(group for group in rows.groups if group not in own.groups)
        return Stored(StoredPolicy(kept, reply), state, tuple(dict.fromkeys(foreign)), lost)

    def _answers(self, rows: UserRows) -> list[ServerAnswer]:
        found: list[ServerAnswer] = []
        for order in _orders(rows.groups):
            found += answers_to(rows.username, rows.check, rows.reply, order, self.groups)
        return list(dict.fromkeys(found))

    def _others_in(self, answer: ServerAnswer, rows: UserRows) -> set[tuple[str, str]]:
        """What of this answer somebody else restricts: (kind, name)."""
        names = self.names
        found = {('group', name) for name in answer.taken if self._is_foreign(name)}
        source = answer.rejected_by
        if source == USER:
            found.add(('check', 'Auth-Type := Reject'))
        elif source and not self._is_ours(source):
            found.add(('rejecting', source))
        # A list is what a block is made of: one of the user's own is somebody's, whatever its name, and it is theirs
        # still where a list of our group stands before it.
        given = [item for item in rows.reply if self._decides(item)]
        found |= {
            ('reply', ' '.join(item))
            for item in given
            if item[2] in names.foreign_lists or (_is_list(item) and item[2] not in names.harmless_lists)
        }
        return found

    def _is_foreign(self, group: str) -> bool:
        if self._is_ours(group) or group == self.names.normal:
            return False
        rows = self.groups.get(group, GroupRows())
        return group in self.names.foreign_groups or any(value in self.names.foreign_lists for _, value in rows.pairs)

    def _has_password(self, rows: UserRows) -> bool:
        """Where no table has one, another module knows it, and finds it always."""
        checks = [rows.check, *(self.groups.get(name, GroupRows()).check for name, _ in rows.groups)]
        return any(is_password(item) for items in checks for item in items)

    def _open(self, answer: ServerAnswer) -> list[str]:
        return [text for item, text in answer.open if expiration_of(item, self.now) is None]

    def _expired(self, answer: ServerAnswer) -> list[str]:
        return [text for item, text in answer.open if expiration_of(item, self.now) is True]

    def _state_of(self, answer: ServerAnswer) -> AccessState:
        """Our part of an answer."""
        ours = [name for name in answer.taken if self._is_ours(name)]
        for name in ours:
            if name == self.names.blocked or self._noted(name) == AccessState.blocked():
                return AccessState.blocked()
        for name in ours:
            rates = self._rates_of(answer.pairs) or self._rates_of(self._pairs(name)) or self.names.rates.get(name)
            return AccessState.throttled(*rates) if rates else self._noted(name) or UNKNOWN_RATES
        return AccessState.normal()

    def _noted(self, group: str) -> AccessState | None:
        return self.names.ours.get(group)

    def _is_ours(self, group: str) -> bool:
        if not group or group == self.names.normal:
            return False
        return group in (self.names.blocked, self.names.throttled, *self.names.ours) or self._is_generated(group)

    def _decides(self, item: Item) -> bool:
        deciding = {name.lower() for name in get_dialect(self.names.dialect).reply_attributes}
        return item[0].lower().partition(':')[0] in deciding

    def _require_known(self, rows: UserRows, state: AccessState) -> None:
        """A restriction of ours is open, and the line is in a group that nobody noted: that is not "normal"."""
        names = [name for name, _ in rows.groups]
        if not self.names.restricted or state.mode is not Mode.NORMAL or not names or not self.names.normal:
            return
        known = {self.names.normal, *self.names.recorded}
        if names[0] not in known and not self._is_normal_group(names[0]):
            raise PolicyError(
                f'a restriction of ours is open here, and its group "{names[0]}" is neither the plan\'s '
                f'"{self.names.normal}" nor known as normal: put it into its group, or name that in the plan'
            )

    def _is_normal_group(self, name: str) -> bool:
        """It gives nothing that a block does."""
        block = {item[0].lower() for item in self._reply(AccessState.blocked())}
        usual = {item[0].lower() for item in self._reply(AccessState.throttled(1, 1))}
        rows = self.groups.get(name)
        return rows is not None and not any(pair[0].lower() in block - usual for pair in rows.pairs)

    # Changing

    def wanted(
        self, now: Stored, change: AccessChange, remembered: StoredPolicy | None
    ) -> tuple[StoredPolicy, NewGroup | None]:
        """Our part of the rows that store `change.desired`, and the group they need made.

        Raises `PolicyError`, `DialectError`.
        """
        if change.exact:
            return StoredPolicy.from_detail(change.exact), None
        # Behind what others put there: it is met first, so that nothing of ours lets the line in.
        after = [priority + 1 for _, priority in now.foreign_groups]
        priority = max([now.policy.groups[0][1] if now.policy.groups else 1, *after])
        if change.desired.mode is Mode.BLOCKED:
            self._must_block()
            return StoredPolicy(((self.names.blocked, priority),)), None
        if change.desired.mode is Mode.THROTTLED:
            return self._throttled(now, change, remembered, priority)
        return self._normal(now, change.target, remembered, priority), None

    def verify(
        self, rows: UserRows, now: Stored, wanted: StoredPolicy, made: NewGroup | None, change: AccessChange
    ) -> None:
        """That the server would answer as is desired, and that what others restrict stays. Raises `PolicyError`."""
        groups = dict(self.groups)
        if made:
            base = groups.get(made.base, GroupRows())
            groups[made.name] = GroupRows(base.check, tuple((name, ':=', value) for name, value in made.reply))
        # A restriction must be sure to be met; what is given back need not be sure of anything.
        relaxes = change.desired.mode is Mode.NORMAL
        judge = Judge(replace(self.names, touched=relaxes, restricted=False), groups, self.now)
        after = judge.stored(replaced(rows, now.policy, wanted, self._decides))
        lost = [name for name in now.foreign if name not in after.foreign]
        if lost and not relaxes:
            raise PolicyError(f'it would undo what somebody else restricts: {", ".join(lost)}')
        if change.exact or after.state == change.desired:
            return
        names = ', '.join(f'"{name}"' for name, _ in wanted.groups) or 'no group'
        raise PolicyError(f'in {names} FreeRADIUS would make it {after.state}, not {change.desired}')

    def _throttled(
        self, now: Stored, change: AccessChange, remembered: StoredPolicy | None, priority: int
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
        line = insert_replies(name, reply)
        named = f'"{self.names.throttled}"' if self.names.throttled else 'named by "throttled_group"'
        raise PolicyError(f'no group {named} gives {change.desired}: {line}; and set it as "throttled_group"')

    def _normal(
        self, now: Stored, target: AccessTarget, remembered: StoredPolicy | None, priority: int
    ) -> StoredPolicy:
        recorded = StoredPolicy.from_detail(target.baseline) if 'groups' in target.baseline else None
        refused = ''
        # What the database itself remembers was true when we replaced it; the baseline may be of an earlier time.
        for policy in (remembered, recorded):
            if policy is None:
                continue
            unfit = next((name for name, _ in policy.groups if self._restricts(name)), '')
            if not unfit:
                return policy  # even where its group has no rows: it may be one that only a policy of unlang looks at
            refused = refused or unfit
        if self.names.normal:
            if self.names.normal in self.groups and not self._restricts(self.names.normal):
                return StoredPolicy(((self.names.normal, priority),))
            if not refused:
                raise PolicyError(f'the plan\'s group "{self.names.normal}" is not in the database')
        if now.state.mode is Mode.NORMAL:
            return now.policy
        if refused:
            raise PolicyError(
                f'it would go back to group "{refused}", which is neither the plan\'s ("{self.names.normal}") nor '
                'known as normal: name the right one in the plan\'s "group"'
            )
        raise PolicyError('no group to go back to: none was recorded, and the plan\'s "group" names none')

    def _restricts(self, group: str) -> bool:
        """It is one of ours, or another's restriction: not one to go back to."""
        if self._is_ours(group) or group in self.names.foreign_groups:
            return True
        rows = self.groups.get(group, GroupRows())
        return rows.rejects or any(value in self.names.foreign_lists for _, value in rows.pairs)

    def _base(self, now: Stored, target: AccessTarget, remembered: StoredPolicy | None) -> str:
        try:
            normal = self._normal(now, target, remembered, 1)
        except PolicyError:
            return ''
        return normal.groups[0][0] if normal.groups else ''

    def _must_block(self) -> None:
        """A group without rows is accepted by FreeRADIUS and restricts nothing: the line would get all there is."""
        if not self.blocks:
            line = insert_replies(self.names.blocked, self._reply(AccessState.blocked()))
            raise PolicyError(f'group "{self.names.blocked}" has no replies, so it would restrict nothing: {line}')

    @property
    def blocks(self) -> bool:
        rows = self.groups.get(self.names.blocked, GroupRows())
        return bool(rows.reply) or rows.rejects

    def missing_blocked_group(self) -> str:
        """The statement that makes the blocked group; empty where it is there, or the dialect cannot say."""
        reply = self._reply(AccessState.blocked())
        if self.blocks or not reply:
            return ''
        return insert_replies(self.names.blocked, reply)

    def _is_generated(self, group: str) -> bool:
        matched = GENERATED.fullmatch(group)
        return bool(self.names.create and matched and self._rates(group) == (int(matched[1]), int(matched[2])))

    def _pairs(self, group: str) -> tuple[Pair, ...]:
        return self.groups.get(group, GroupRows()).pairs

    def _rates(self, group: str) -> tuple[int, int] | None:
        """The plain rates that a group gives: one with a burst is not what a plan asks for."""
        return get_dialect(self.names.dialect).rates_in(self._pairs(group)) or self.names.rates.get(group)

    def _rates_of(self, pairs: tuple[Pair, ...]) -> tuple[int, int] | None:
        """The rates of a present state, whatever is given beside them."""
        return get_dialect(self.names.dialect).rates_in(pairs, loosely=True)

    def _reply(self, state: AccessState) -> tuple[Pair, ...]:
        values = values_for(state, (None, None), self.names.blocked if state.mode is Mode.BLOCKED else '')
        try:
            return tuple(get_dialect(self.names.dialect).reply(state, values))
        except DialectError:
            return ()


def replaced(rows: UserRows, now: StoredPolicy, wanted: StoredPolicy, decides: Any) -> UserRows:
    """The rows as they are once `wanted` is in the place of `now`."""
    groups = [group for group in rows.groups if group not in now.groups] + list(wanted.groups)
    reply = [item for item in rows.reply if item not in now.reply] + list(wanted.reply)
    return UserRows(rows.username, rows.check, tuple(reply), tuple(sorted(groups, key=lambda group: group[1])))


def _orders(groups: Sequence[tuple[str, int]]) -> Iterable[tuple[str, ...]]:
    """rlm_sql sorts by priority alone: groups of the same may come in any order."""
    runs = [[name for name, _ in run] for _, run in groupby(groups, key=lambda group: group[1])]
    orders = 1
    for run in runs:
        for number in range(2, len(run) + 1):
            orders *= number
    if orders > MOST_ORDERS:
        raise UndecidableError('many of its groups have one priority, so that any may come first')
    for parts in product(*(permutations(run) for run in runs)):
        yield tuple(name for part in parts for name in part)


def _without(rows: UserRows, theirs: set[tuple[str, str]]) -> UserRows:
    """The rows as if what others restrict were not there."""
    gone = {name for kind, name in theirs if kind in ('group', 'rejecting')}
    check = rows.check
    if any(kind == 'check' for kind, _ in theirs):
        check = tuple(item for item in check if not is_reject(item))
    lists = {name for kind, name in theirs if kind == 'reply'}
    return UserRows(
        rows.username,
        check,
        tuple(item for item in rows.reply if ' '.join(item) not in lists),
        tuple(group for group in rows.groups if group[0] not in gone),
    )


def _is_list(item: Item) -> bool:
    return item[0].lower().endswith('-address-list')


def _label(kind: str, name: str) -> str:
    if kind == 'check':
        return f'{name} ({USER})'
    if kind == 'rejecting':
        return f'group {name}{REJECTS}'
    return f'group {name}' if kind == 'group' else f'{name} (radreply)'


def _weight(state: AccessState) -> tuple[int, int]:
    return list(Mode).index(state.mode), -(state.down_kbps or 0)
