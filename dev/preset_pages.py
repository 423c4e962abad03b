"""The page of each preset in `docs/presets`, made of its YAML: what a lawyer reads is what the tests run."""

from __future__ import annotations

from pathlib import Path

from dev.services import ROOT
from netbox_delinquency.policy.presets import Preset, load_presets

FOLDER = ROOT / 'docs' / 'presets'


def table(head: str, rows: list[tuple[object, ...]]) -> list[str]:
    rule = '|' + '---|' * (head.count('|') - 1)
    return [head, rule, *('| ' + ' | '.join(str(cell) for cell in row) + ' |' for row in rows)]


def shown(value: object) -> str:
    text = 'none' if value is None else f'{value:%H:%M}' if hasattr(value, 'hour') else str(value)
    return text or 'none'


def page(preset: Preset) -> str:
    rules = [
        (f'`{name}`', shown(value), preset.rules.get('articles', {}).get(name, ''))
        for name, value in preset.rules.items()
        if name != 'articles'
    ]
    stages = [
        (stage['action'], stage['clock'], stage['after_days'], stage.get('approval', 'as the policy says'))
        for stage in preset.stages
    ]
    cases = [(from_what(case), case.get('stage', 'first restriction'), case['earliest'], case['why'])
             for case in preset.cases]  # fmt: skip
    lines = [
        f'# Preset `{preset.slug}`', '',
        f'{preset.title}. Version {preset.version}. Engineering input, not legal advice: counsel confirms it before'
        ' use.', '',
        '## Rules', '', *table('| Rule | Value | Stands on |', rules), '',
        '## Stages', '', *table('| Stage | Clock | Days | Approval |', stages), '',
        '## Dated cases', '',
        'Each is a test: the step is not taken a second before that day opens, and is taken when it does. Notices are'
        ' delivered at noon.', '',
        *table('| From | Step | Earliest | Why |', cases), '',
        '## Sources', '', *(f'- {source}' for source in preset.sources), '',
        '## Unverified', '', *(f'- {text}' for text in preset.unverified), '',
    ]  # fmt: skip
    return '\n'.join(lines)


def from_what(case: dict) -> str:
    names = {'due': 'due', 'notice': 'notice', 'since': 'stage before since', 'balance': 'owed', 'zone': 'in'}
    return ', '.join(f'{label} {case[name]}' for name, label in names.items() if name in case)


def path_of(preset: Preset) -> Path:
    return FOLDER / f'{preset.slug}.md'


if __name__ == '__main__':
    for preset in load_presets():
        path_of(preset).write_text(page(preset), encoding='utf-8')
