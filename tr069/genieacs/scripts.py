"""Provision scripts for GenieACS, and the state they carry.

GenieACS keeps our state for us: a *definition* is the JSON comment on a provision's first line, named by its hash, and
a device's tags say which definitions concern it. Nothing is kept anywhere else, so any number of clients agree.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tr069.cwmp.messages import ParameterValue, as_values

CHANNEL = 'tr069'
# A fault holds up a whole channel for 300 s·2^n: what a device faulted on must not hold up its restoring.
OFF_CHANNEL = 'tr069_restore'
ON, OFF, WAS, OK = 'tr069_on_', 'tr069_off_', 'tr069_was_', 'tr069_ok_'
# What was read from the device was not what had been set: once, and once more in a later session.
MISSED = ('tr069_missed_1', 'tr069_missed_2')
OURS = (ON, OFF, WAS, OK, 'tr069_missed_')
RESET = 'tr069_reset_'  # provisions and presets for the session after a factory reset
BOOTSTRAP = '0 BOOTSTRAP'
# While a device has it none of our presets sets anything: what is read then is the device's own doing.
HOLD = 'tr069_hold'


@dataclass(frozen=True, slots=True)
class Definition:
    """A set of values under the name of its hash. `profile`, `revision` and `note` are empty for saved values."""

    values: tuple[ParameterValue, ...]
    profile: str = ''
    revision: str = ''
    note: str = ''

    @property
    def hash(self) -> str:
        return hashlib.sha256(self._json().encode()).hexdigest()[:16]

    def _json(self) -> str:
        values = sorted((item.name, item.value, item.type) for item in self.values)
        found = {'profile': self.profile, 'revision': self.revision, 'note': self.note, 'values': values}
        return json.dumps(found)

    def keep_script(self) -> str:
        """Keep the values so: compared with what the device says at most an hour ago."""
        return f'// {self._json()}\nconst fresh = Date.now(3600000);\n' + ''.join(
            f'declare({json.dumps(item.name)}, {{value: fresh}}, {{value: {_typed(item)}}});\n' for item in self.values
        )

    def reset_script(self) -> str:
        """After a factory reset: what GenieACS believes is of before it, and so is that it was verified."""
        lines = [f'// {self._json()}', 'const now = Date.now();']
        for item in self.values:
            lines.append(f'declare({json.dumps(item.name)}, {{value: now}}, {{value: {_typed(item)}}});')
        lines.append(f'declare("Tags.{OK}{self.hash}", null, {{value: false}});')
        return '\n'.join(lines) + '\n'

    def restore_script(self) -> str:
        """Put the values back, freshly compared, and take our tag off once they read so: untagging reverts nothing."""
        lines = [f'// {self._json()}', 'const now = Date.now();', 'let done = true;']
        for number, item in enumerate(self.values):
            found = f'd{number}'
            lines.append(
                f'const {found} = declare({json.dumps(item.name)}, {{value: now}}, {{value: {_typed(item)}}});'
            )
            text = json.dumps(_as_string(item))
            lines.append(f'done = done && Boolean({found}.value) && String({found}.value[0]) === {text};')
        lines.append(f'if (done) declare("Tags.{OFF}{self.hash}", null, {{value: false}});')
        return '\n'.join(lines) + '\n'

    def saved_script(self) -> str:
        """Runs nothing: it only keeps the values."""
        return f'// {self._json()}\n'


def read_definition(script: str) -> Definition:
    """The definition on a script's first line. Raises `ValueError` where there is none."""
    line = script.partition('\n')[0].removeprefix('// ')
    data: dict[str, Any] = json.loads(line)
    values = as_values(tuple(item) for item in data['values'])
    return Definition(values, data['profile'], data['revision'], data['note'])


def _as_string(item: ParameterValue) -> str:
    """How JavaScript prints the value after GenieACS has parsed it by its type."""
    if item.type.endswith('boolean'):
        return 'true' if item.value.strip().lower() in ('1', 'true') else 'false'
    return item.value


def _typed(item: ParameterValue) -> str:
    return json.dumps([_as_string(item), item.type or 'xsd:string'])


def tagged(tags: Iterable[str], prefix: str) -> str:
    """The hash of the one tag with `prefix`, or an empty string."""
    return next((tag.removeprefix(prefix) for tag in sorted(tags) if tag.startswith(prefix)), '')


def as_text(value: Any) -> str:
    """A cached `_value` as text: GenieACS keeps booleans and numbers as such."""
    if isinstance(value, bool):
        return 'true' if value else 'false'
    return '' if value is None else str(value)


def flatten(document: Mapping[str, Any], prefix: str = '') -> dict[str, Mapping[str, Any]]:
    """A device document as `path → leaf`, the leaves being what GenieACS keeps (`_value`, `_type`, `_writable`…)."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, node in document.items():
        if name.startswith('_') or not isinstance(node, dict):
            continue
        path = prefix + name
        if '_value' in node:
            found[path] = node
        found |= flatten(node, f'{path}.')
    return found
