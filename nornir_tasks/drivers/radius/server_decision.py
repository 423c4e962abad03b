"""What FreeRADIUS answers a login with, by the rows of its six tables: rlm_sql's own order, without a server. Pure.

From rlm_sql.c and pair.c of FreeRADIUS 3.2 (`mod_authorize`, `rlm_sql_process_groups`, `paircompare`,
`radius_pairmove`): the user's check rows, then its replies, then its groups by priority. A group whose check rows do
not match is passed over; the first that is taken is the last, unless its replies say `Fall-Through = Yes`. What the
request decides (`NAS-IP-Address == …`) goes both ways here: a list of answers, each of which the server may give.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

Item = tuple[str, str, str]  # attribute, operator, value

# As `fr_pair_value_from_str` reads a date; one without a time is midnight.
DATES = tuple(
    date + time
    for date in ('%b %d %Y', '%d %b %Y', '%B %d %Y', '%d %B %Y', '%Y-%m-%d')
    for time in ('', ' %H:%M:%S', ' %H:%M', 'T%H:%M:%S')
)
MOST_CONDITIONS = 6  # that the request decides; each doubles the answers
ASSIGNS = frozenset((':=', '+='))
REPLY_OPERATORS = frozenset(('=', ':=', '+='))
OPERATORS = frozenset(('=', ':=', '==', '+=', '!=', '>', '>=', '<', '<=', '=~', '!~', '=*', '!*'))
# `paircompare` never compares these.
NEVER_COMPARED = frozenset(('crypt-password', 'auth-type', 'autz-type', 'acct-type', 'session-type', 'strip-user-name'))
PASSWORDS = frozenset(
    (
        'cleartext-password', 'nt-password', 'lm-password', 'md5-password', 'smd5-password', 'sha-password',
        'ssha-password', 'sha1-password', 'sha2-password', 'password-with-header', 'crypt-password', 'user-password',
    )
)  # fmt: skip
# Never in a request, so that a comparison with them fails, and `!*` (is not there) holds.
NEVER_SENT = PASSWORDS - {'crypt-password', 'user-password'} | {'simultaneous-use', 'pool-name', 'fall-through'}
REJECT = frozenset(('reject', '4'))
KNOWN_AUTH_TYPES = frozenset(
    ('accept', 'pap', 'chap', 'ms-chap', 'mschap', 'eap', 'local', 'ldap', 'system', 'unix', 'digest', 'pam', 'krb5')
)
# Other modules than rlm_sql decide by these, with a clock, with what was used up, or at another server.
OTHERS_DECIDE = re.compile(
    r'expiration|login-time|current-time|time-of-day|max-.+|access-period|autz-type|user-profile|proxy-to-realm|realm'
    r'|home-server-pool|replicate-to-realm|post-auth-type|session-type',
    re.IGNORECASE,
)


class UndecidableError(ValueError):
    """The rows cannot be followed; `str()` says which, and why."""


@dataclass(frozen=True, slots=True)
class GroupRows:
    """A group's rows of `radgroupcheck` and `radgroupreply`, in the order of their numbers."""

    check: tuple[Item, ...] = ()
    reply: tuple[Item, ...] = ()
    twins: tuple[str, ...] = ()  # other names that the database takes for this one

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The replies without their operators."""
        return tuple((name, value) for name, _, value in self.reply)

    @property
    def rejects(self) -> bool:
        """It would turn a login away, where it is taken."""
        return any(is_reject(item) for item in self.check)


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """One answer that the server may give a login with the right password.

    `taken` are the groups whose rows counted, in their order. `rejected_by` is where the `Auth-Type` that turns the
    login away comes from: a group, `radcheck` for the user's own rows, empty for none.
    """

    taken: tuple[str, ...] = ()
    control: tuple[tuple[str, Item], ...] = ()  # with where each comes from
    reply: tuple[Item, ...] = ()

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, value) for name, _, value in self.reply if name.lower() != 'fall-through')

    @property
    def rejected_by(self) -> str:
        return next((source for source, (name, _, value) in self.control if _is_reject(name, value)), '')

    @property
    def can_be_proven(self) -> bool:
        """There is a password to compare with, or any will do."""
        types = [value.strip().lower() for _, (name, _, value) in self.control if name.lower() == 'auth-type']
        return types[-1:] == ['accept'] or any(is_password(item) for _, item in self.control)

    @property
    def open(self) -> tuple[tuple[Item, str], ...]:
        """Rows by which something else than the tables decides, each with how it is called."""
        return tuple((item, f'{" ".join(item)} ({source})') for source, item in self.control if _others_decide(item))


USER = 'radcheck'


def is_password(item: Item) -> bool:
    return item[0].lower() in PASSWORDS


def is_reject(item: Item) -> bool:
    """`Auth-Type` is only ever set by a check row: it is never compared. `==` sets nothing."""
    name, operator, value = item
    return operator in REPLY_OPERATORS and _is_reject(name, value)


def _is_reject(name: str, value: str) -> bool:
    return name.lower() == 'auth-type' and value.strip().lower() in REJECT


def answers_to(
    username: str,
    check: Sequence[Item],
    reply: Sequence[Item],
    groups: Sequence[str],
    tables: Mapping[str, GroupRows],
) -> list[ServerAnswer]:
    """Every answer that a login of this user may get, each once. Raises `UndecidableError`."""
    for name in groups:
        if twins := tables.get(name, GroupRows()).twins:
            raise UndecidableError(f'the database takes group "{twins[0]}" for the same as "{name}"')
    for items in (check, reply, *(rows for name in groups for rows in _rows(tables, name))):
        _require_known(items)
    walk = _Walk(username, tuple(groups), tables)
    start = ServerAnswer()
    found: list[ServerAnswer] = []
    for matched in walk.matches(check) if check else ():
        answer, falls = start, None
        if matched:
            answer = replace(answer, control=_merged_control((), USER, check))
            falls = _fall_through(reply)
            answer = replace(answer, reply=_merged(answer.reply, reply))
        # Without rows in radcheck, or where they do not match, the user's replies are not even looked for.
        found += [answer] if falls is False else walk.through_groups(answer, 0)
    if not check:
        found = walk.through_groups(start, 0)
    return list(dict.fromkeys(found))


@dataclass
class _Walk:
    username: str
    groups: tuple[str, ...]
    tables: Mapping[str, GroupRows]
    conditions: int = 0

    def matches(self, items: Sequence[Item]) -> list[bool]:
        """Whether check rows match; both, where the request decides."""
        verdicts = [_compared(item, self.username) for item in items]
        if False in verdicts:
            return [False]
        if None not in verdicts:
            return [True]
        self.conditions += 1
        if self.conditions > MOST_CONDITIONS:
            raise UndecidableError('too many of its check rows depend on the request')
        return [True, False]

    def through_groups(self, answer: ServerAnswer, number: int) -> list[ServerAnswer]:
        if number == len(self.groups):
            return [answer]
        name = self.groups[number]
        rows = self.tables.get(name, GroupRows())
        found: list[ServerAnswer] = []
        for matched in self.matches(rows.check):
            if not matched:
                found += self.through_groups(answer, number + 1)
                continue
            taken = ServerAnswer(
                (*answer.taken, name),
                _merged_control(answer.control, name, rows.check),
                _merged(answer.reply, rows.reply),
            )
            falls = _fall_through(rows.reply)
            found += self.through_groups(taken, number + 1) if falls else [taken]
        return found


def _rows(tables: Mapping[str, GroupRows], name: str) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    rows = tables.get(name, GroupRows())
    return rows.check, rows.reply


def _require_known(items: Iterable[Item]) -> None:
    for name, operator, value in items:
        if operator not in OPERATORS:
            raise UndecidableError(f'the operator "{operator}" of {name} is none that FreeRADIUS is known to take')
        if name.lower() == 'auth-type' and ('%' in value or '`' in value):
            raise UndecidableError(f'{name} {operator} {value} is made anew at each login')


def _compared(item: Item, username: str) -> bool | None:
    """Whether a check row matches; `None`: the request decides."""
    name, operator, value = item[0].lower(), item[1], item[2]
    if operator in ASSIGNS or name in NEVER_COMPARED:
        return True
    if name in NEVER_SENT:
        return operator == '!*'
    if name == 'user-name' and operator in ('==', '='):
        return value == username
    return None


def _fall_through(reply: Sequence[Item]) -> bool | None:
    """`None` where nothing is said of it. Raises `UndecidableError`."""
    for name, _, value in reply:
        if name.lower() == 'fall-through':
            said = value.strip().lower()
            if said not in ('yes', 'no', '0', '1'):
                raise UndecidableError(f'Fall-Through is "{value}", which is neither Yes nor No')
            return said in ('yes', '1')
    return None


def _merged(now: tuple[Item, ...], items: Sequence[Item]) -> tuple[Item, ...]:
    """`radius_pairmove`: what is there already, and the rows that come to it. Raises `UndecidableError`."""
    for name, operator, _ in items:
        if operator not in REPLY_OPERATORS and name.lower() != 'fall-through':
            raise UndecidableError(f'a reply with "{operator}" ({name}) filters others, which is not followed here')
    return tuple(item for _, item in _moved(tuple(('', item) for item in now), '', items))


def _merged_control(
    now: tuple[tuple[str, Item], ...], source: str, items: Sequence[Item]
) -> tuple[tuple[str, Item], ...]:
    """Comparisons add nothing, but `==` takes away other values of the same that are there already."""
    return _moved(now, source, [item for item in items if item[1] in REPLY_OPERATORS or item[1] == '=='])


def _moved(now: tuple[tuple[str, Item], ...], source: str, items: Sequence[Item]) -> tuple[tuple[str, Item], ...]:
    found: list[tuple[str, Item]] = list(now)
    appended: list[tuple[str, Item]] = []
    edited: set[int] = set()
    for item in items:
        same = [
            place
            for place, (_, other) in enumerate(found)
            if place not in edited and other[0].lower() == item[0].lower()
        ]
        if item[1] == '==':
            other = [place for place in same if found[place][1][2].lower() != item[2].lower()]
            found = [entry for place, entry in enumerate(found) if place not in other]
            edited = {place - sum(gone < place for gone in other) for place in edited}
        elif item[1] == '+=' or not same:
            appended.append((source, item))
        elif item[1] == ':=':
            found[same[0]] = (source, item)
            edited.add(same[0])
    return (*found, *appended)


def _others_decide(item: Item) -> bool:
    name, operator, value = item
    if name.lower() == 'auth-type':
        return operator in REPLY_OPERATORS and value.strip().lower() not in KNOWN_AUTH_TYPES | REJECT
    if name.lower() == 'simultaneous-use':
        return value.strip() == '0'
    return OTHERS_DECIDE.fullmatch(name) is not None


def expiration_of(item: Item, now: datetime | None) -> bool | None:
    """Whether an `Expiration` has passed; `None` where that cannot be said: the server's zone is not known here."""
    if item[0].lower() != 'expiration' or now is None:
        return None
    text = ' '.join(item[2].replace('"', '').split())
    for form in DATES:
        try:
            # The zone is the server's own, hence the day to both sides.
            when = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return None if abs(when - now) <= timedelta(days=1) else when < now
    return None
