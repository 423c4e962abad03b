"""The tree stays readable: no file grows past what a reader takes in."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST = 400  # lines


def test_no_file_is_over_four_hundred_lines():
    places = ('netbox_delinquency', 'nornir_tasks', 'tr069', 'dev', 'benchmarks')
    files = [file for place in places for kind in ('py', 'sql', 'html') for file in (ROOT / place).rglob(f'*.{kind}')]
    assert len(files) > 300
    long = {
        str(file.relative_to(ROOT)): lines for file in files if (lines := file.read_text('utf-8').count('\n')) > MOST
    }
    assert not long, f'split these: {long}'
