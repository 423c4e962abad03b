"""How each kind of NAS is told of a state: `dialects.yaml`, and the requests made from it. Pure, no I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from nornir_tasks.change import AccessState, Mode
from nornir_tasks.errors import ConfigurationError
from nornir_tasks.radius.attributes import Pair

RATES = ('down', 'up', 'down_bps', 'up_bps')
RATE = re.compile(r'\b([0-9]+)([kKmMgG]?)\b')
UNITS = {'k': 1, 'm': 1000, 'g': 1_000_000}
FIELD = re.compile(r'\{(\w+)\}')
# What a wire name may hold: a control character in it would be a slip, or an attack on the NAS's own parser.
CONTROL = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029]')


class DialectError(Exception):
    """The state cannot be put into this dialect's attributes; nothing was sent. `str()` says what is missing."""


@dataclass(frozen=True, slots=True)
class Lever:
    """How one state is expressed: `requests` for a session (`None`: not live), `reply` in the stored policy."""

    requests: tuple[tuple[Pair, ...], ...] | None
    reply: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Dialect:
    name: str
    title: str
    identity: tuple[str, ...]
    sticky: frozenset[Mode]
    levers: Mapping[Mode, Lever]

    def requests(
        self, before: AccessState | None, desired: AccessState, values: Mapping[str, str]
    ) -> list[list[Pair]] | None:
        """The CoA requests that lead from `before` (`None`: not known) to `desired`; `None`: only a reconnect does.

        Raises `DialectError` where a value for a template is missing.
        """
        templates = self.levers[desired.mode].requests
        left = before is not None and before.mode in self.sticky and before.mode is not desired.mode
        if templates is None or left:
            return None
        return [[_fill(pair, values) for pair in pairs] for pairs in templates]

    def reply(self, desired: AccessState, values: Mapping[str, str]) -> list[Pair]:
        """What a stored policy replies with for a state. Raises `DialectError`."""
        return [_fill(pair, values) for pair in self.levers[desired.mode].reply]

    @property
    def reply_attributes(self) -> frozenset[str]:
        """The attributes that decide a state in this dialect, without tags."""
        return frozenset(_base(name) for lever in self.levers.values() for name, _ in lever.reply)

    def rates_in(self, replies: Collection[Pair], loosely: bool = False) -> tuple[int, int] | None:
        """(down, up) in kbit/s that a stored policy's attributes give; `None` where they give none.

        Nothing but the plain rates counts: a value with a burst is not the rate that a plan asks for. `loosely`, what
        follows them after a space is passed over: to say how a line is, not whether it is as wanted.
        """
        found: dict[str, int] = {}
        for name, template in self.levers[Mode.THROTTLED].reply:
            pattern = _pattern(template)
            for other, value in replies:
                text = value.partition(' ')[0] if loosely and ' ' not in template else value
                matched = pattern.fullmatch(_in_kilobits(text) if '}k' in template else text)
                if _base(other) == _base(name) and matched is not None:
                    found |= {field: int(digits) for field, digits in matched.groupdict().items()}
        down = found.get('down', found.get('down_bps', 0) // 1000)
        up = found.get('up', found.get('up_bps', 0) // 1000)
        return (down, up) if down and up else None


def values_for(
    state: AccessState, contracted: tuple[int | None, int | None], name: str = '', old: str = ''
) -> dict[str, str]:
    """What templates are filled with; rates of a state without any are the `contracted` (down, up), where known.

    `name` is a template itself, `old` is the name of the present state as it was sent.
    """
    down, up = (state.down_kbps, state.up_kbps) if state.mode is Mode.THROTTLED else contracted
    values = {}
    if down and up:
        values = {'down': str(down), 'up': str(up), 'down_bps': str(down * 1000), 'up_bps': str(up * 1000)}
    if name:
        # A service's name may itself have the rates in it: `slow({down}k,{up}k)`.
        values['name'] = _fill(('name', name), values)[1]
    if old:
        values['old'] = old
    return values


def get_dialect(name: str) -> Dialect:
    """Raises `ConfigurationError` for a name that `dialects.yaml` does not have."""
    try:
        return dialects()[name]
    except KeyError:
        raise ConfigurationError(f'no RADIUS dialect "{name}"; there are: {", ".join(sorted(dialects()))}') from None


def dialect_choices(schema: dict[str, Any]) -> None:
    """For a JSON schema (`json_schema_extra`): the names there are to choose from."""
    schema['enum'] = sorted(dialects())


@cache
def dialects() -> Mapping[str, Dialect]:
    loaded: dict[str, Any] = yaml.safe_load((files('nornir_tasks.radius') / 'dialects.yaml').read_text())
    return {name: _load(name, data) for name, data in loaded.items()}


def _load(name: str, data: Mapping[str, Any]) -> Dialect:
    return Dialect(
        name=name,
        title=data['title'],
        identity=tuple(data['identity']),
        sticky=frozenset(Mode(mode) for mode in data.get('sticky', ())),
        levers={mode: _load_lever(data[mode]) for mode in Mode},
    )


def _load_lever(data: Mapping[str, Any]) -> Lever:
    requests: list[list[list[str]]] | None = data.get('requests')
    reply = data['reply'] if requests is None or 'reply' in data else requests[0]
    return Lever(
        None if requests is None else tuple(tuple((pair[0], pair[1]) for pair in pairs) for pairs in requests),
        tuple((pair[0], pair[1]) for pair in reply),
    )


def _fill(pair: Pair, values: Mapping[str, str]) -> Pair:
    name, template = pair
    if missing := sorted({field for field in FIELD.findall(template) if field not in values}):
        raise DialectError(f'{", ".join(missing)} not known for {name} = "{template}"')
    value = FIELD.sub(lambda hit: values[hit[1]], template)
    if CONTROL.search(value):
        raise DialectError(f'{name} would hold a control character')
    return name, value


def _pattern(template: str) -> re.Pattern[str]:
    """What a value made from `template` looks like."""
    parts = FIELD.split(template)
    seen: set[str] = set()
    pattern = ''
    for number, part in enumerate(parts):
        if number % 2 == 0:
            pattern += re.escape(part)
        elif part in RATES:
            pattern += f'(?P={part})' if part in seen else f'(?P<{part}>[0-9]+)'
            seen.add(part)
        else:
            pattern += '.*'
    return re.compile(pattern)


def _in_kilobits(value: str) -> str:
    """RouterOS takes `512k`, `1M` and plain bit/s for rates: all of them as `512k`."""

    def convert(hit: re.Match[str]) -> str:
        number, unit = int(hit[1]), hit[2]
        if unit or number % 1000:
            return f'{number * UNITS.get(unit.lower(), 1)}k' if unit else hit[0]
        return f'{number // 1000}k'

    return RATE.sub(convert, value)


def _base(name: str) -> str:
    return name.partition(':')[0]
