"""One vocabulary, that of docs/glossary.md: what was given up is found nowhere in code, pages, documents."""

import re
from functools import cache
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[1]
PLACES = ('netbox_delinquency', 'nornir_tasks', 'tr069', 'migrations', 'dev', 'benchmarks', 'docs', 'README.md')
KINDS = {'.py', '.html', '.sql', '.md', '.po', '.js', '.css', '.yaml', '.toml', '.sh'}

# What was given up, as whole words in any case, and what is said instead.
OLD = {
    r'conduct|conducts|conductor': 'advance a run',
    r'carry_on|carry on|carries on': 'next steps, resume',
    r'take_up|taken_up|take up|takes up|taken up|took up': 'recover, resume',
    r'bury|buries|buried': 'mark lost',
    r'why_not|why_halt|why_held|why_break': 'refusal reason, stop reason, breaker verdict',
    r'halts|why_capped': 'stop condition',
    r'lane|lanes|lane_of': 'queue, lock',
    r'harder|softer|hardest|is_harder_than|too hard|too_hard': 'restrictive, relaxing; over-enforced',
    r'rung|rungs|timed_rung': 'stage',
    r'climb|climbs|climbed|climbing': 'escalation',
    r'step up|steps up|step down|steps down': 'escalation',
    r'spares|spared': 'exempt',
    r'came loose|comes loose|come loose|came_loose': 'under-enforced, drifts',
    r'in doubt|in_doubt|cpe_in_doubt': 'unverified',
    r'half-done|half_done|half done': 'partially applied',
    r'standing|standings|standing_note': 'dunning position, provisioning state',
    r'relieved': 'in relief',
    r'hold stands|holds stand': 'active hold',
    r'came to nothing|came_to_nothing': 'retryable',
    r'fault of ours|faults of ours': 'internal error',
    r'work off|works off|worked off': 'process',
    r'leave_run|_beat': 'release a run, heartbeat',
    r'learn_cpes|learn cpes|look_at': 'match CPEs, refresh CPE',
    r'summon|summons|summoned': 'connection request',
    r'vouch|vouched': 'allow-listed',
    r'vitals': 'health probe',
    r'stranger|strangers|walls': 'walled garden, foreign',
    r'sentences': 'error messages, texts',
    r'cpe_care|learn_cpe': 'contract actions, match CPEs',
}
# Where the language needs one of them, or another's standard has it: the word, and what stands around it.
MEANT = ()


def shown(file: Path) -> list[str]:
    """Its lines as far as they are ours: of a catalogue, what is translated and not its translation."""
    lines, is_source = [], True
    for line in file.read_text(encoding='utf-8').lower().splitlines():
        if file.suffix == '.po':
            is_source = line.startswith('msgid') or (is_source and line.startswith('"'))
        lines.append(line if is_source else '')
    return lines


@cache
def found() -> dict[str, list[str]]:
    """By pattern, where it is found."""
    words = {word: pattern for pattern in OLD for word in pattern.split('|')}
    any_word = re.compile(rf'(?<![a-z0-9_])(?:{"|".join(sorted(words, key=len, reverse=True))})(?![a-z0-9_])')
    where: dict[str, list[str]] = {pattern: [] for pattern in OLD}
    for place in PLACES:
        path = ROOT / place
        for file in sorted(path.rglob('*')) if path.is_dir() else [path]:
            if file.suffix not in KINDS or '__pycache__' in file.parts:
                continue
            for number, line in enumerate(shown(file), 1):
                for match in any_word.finditer(line):
                    if not any(text in line for text in MEANT):
                        where[words[match[0]]].append(f'{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}')
    return where


@pytest.mark.parametrize('pattern', OLD)
def test_a_word_that_was_given_up_is_found_nowhere(pattern):
    places = found()[pattern]
    assert not places, f'say "{OLD[pattern]}":\n' + '\n'.join(places)


def test_the_search_finds_what_it_looks_for(tmp_path):
    page = tmp_path / 'page.po'
    page.write_text('msgid "the line\'s Standing"\nmsgstr "rung"\n', encoding='utf-8')
    assert [line for line in shown(page) if line] == ['msgid "the line\'s standing"']


def glossary() -> list[tuple[str, list[str]]]:
    """Each English term with its Portuguese ones."""
    rows = []
    for line in (ROOT / 'docs' / 'glossary.md').read_text(encoding='utf-8').splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if len(cells) == 3 and cells[0] not in ('English', '---'):
            rows += [(term, cells[1].split(', ')) for term in cells[0].split(', ')]
    return rows


def test_the_pages_say_in_portuguese_what_the_glossary_says():
    with (ROOT / 'netbox_delinquency/locale/pt_BR/LC_MESSAGES/django.po').open('rb') as source:
        catalogue = {str(message.id).lower(): str(message.string).lower() for message in read_po(source)}
    terms = glossary()
    assert len(terms) > 90
    differing = {
        term: (words, catalogue[term.lower()])
        for term, words in terms
        if term.lower() in catalogue and catalogue[term.lower()] not in [word.lower() for word in words]
    }
    assert not differing


def test_a_term_is_explained_once():
    terms = [term for term, _words in glossary()]
    assert sorted(terms) == sorted(set(terms))
