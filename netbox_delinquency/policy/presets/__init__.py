"""Rule sets as YAML with their sources. A preset is copied into a policy; a newer one is shown as a difference."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from importlib.resources import files
from typing import Any

import yaml

from ...errors import DelinquencyError

__all__ = ('DEFAULT', 'Preset', 'PresetError', 'load_preset', 'load_presets')

DEFAULT = 'anatel_765'
RULES = (
    'min_notice_days', 'throttle_is_suspension', 'min_arrears', 'min_invoices', 'no_start_days', 'start_from',
    'start_until', 'no_contact_days', 'contact_from', 'contact_until', 'restore_hours', 'fee_cap', 'trust_days',
    'trust_gap_days', 'trust_uses_a_year', 'articles',
)  # fmt: skip
_ABOUT = {'name', 'version', 'title', 'stages', 'sources', 'unverified', 'cases'}


class PresetError(DelinquencyError, ValueError):
    """There is no such preset, or its file is not one; the text says what there is."""


@dataclass(frozen=True, slots=True)
class Preset:
    slug: str
    name: str
    version: int
    title: str
    rules: dict[str, Any]  # by name of the policy's field
    stages: tuple[dict[str, Any], ...]
    sources: tuple[str, ...]
    unverified: tuple[str, ...]
    cases: tuple[dict[str, Any], ...]


def _value(name: str, value: Any) -> Any:
    if name.endswith(('_from', '_until')) and isinstance(value, str):
        return time.fromisoformat(value)
    if name in ('min_arrears', 'fee_cap') and value is not None:
        return Decimal(str(value))
    return value


def load_preset(slug: str) -> Preset:
    """Raises `PresetError`."""
    known = names()
    if slug not in known:
        raise PresetError(f'there is no preset "{slug}": there are {", ".join(known)}')
    document = yaml.safe_load(files(__name__).joinpath(f'{slug}.yaml').read_text(encoding='utf-8'))
    if unknown := set(document) - _ABOUT - set(RULES):
        raise PresetError(f'preset "{slug}" has unknown keys: {", ".join(sorted(unknown))}')
    return Preset(
        slug=slug,
        name=document['name'],
        version=document['version'],
        title=document['title'],
        rules={name: _value(name, document[name]) for name in RULES if name in document},
        stages=tuple(document['stages']),
        sources=tuple(document['sources']),
        unverified=tuple(document['unverified']),
        cases=tuple(document['cases']),
    )


def names() -> list[str]:
    return sorted(file.name.removesuffix('.yaml') for file in files(__name__).iterdir() if file.name.endswith('.yaml'))


def load_presets() -> list[Preset]:
    return [load_preset(slug) for slug in names()]
