"""The pages that say how to add something are followed: their change is made in a copy of the sources, and proved."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from netbox_delinquency.billing.registry import available_adapters, get_adapter

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs' / 'extending'
FILE = r'`((?:netbox_delinquency|nornir_tasks|policy|models|billing)/[\w/]+\.py)`'
PACKAGES = ('netbox_delinquency', 'nornir_tasks', 'tr069', 'tests')
KEY = 'a signing key of 24 characters or more'
# Nothing of what a proof writes is kept.
RUN = """
import django
django.setup()
from django.db import transaction
with transaction.atomic():
    exec(compile(open({proof!r}).read(), {proof!r}, 'exec'), {{'__name__': 'proof'}})
    transaction.set_rollback(True)
import netbox_delinquency
print(netbox_delinquency.__file__)
"""


def blocks(page, language):
    return re.findall(rf'```{language}\n(.*?)```', (DOCS / page).read_text(encoding='utf-8'), re.DOTALL)


@pytest.fixture
def copy(tmp_path):
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copytree(ROOT / 'migrations', tmp_path / 'netbox_delinquency' / 'migrations')
    return tmp_path


def prove(copy, proof):
    """Run these lines with the copy's packages, in the test's own database; answers what they print, or fails."""
    (copy / 'proof.py').write_text(proof)
    environment = {
        **os.environ,
        'PYTHONPATH': str(copy),
        'DELINQUENCY_DEV_DATABASE': connection.settings_dict['NAME'],
        'DJANGO_SETTINGS_MODULE': 'netbox.settings',
    }
    done = subprocess.run(
        [sys.executable, '-c', RUN.format(proof=str(copy / 'proof.py'))],
        env=environment, cwd=copy, text=True, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def adapter(tmp_path, monkeypatch):
    """The page's adapter in a package of its own, installed as a third party's would be: by its entry point."""
    example, _proof = blocks('billing-adapter.md', 'python')
    (line,) = re.findall(r'^acme = "(.*)"$', blocks('billing-adapter.md', 'toml')[0], re.MULTILINE)
    (tmp_path / 'acme_billing.py').write_text(example)
    info = tmp_path / 'acme_billing-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: acme-billing\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text(f'[netbox_delinquency.billing_adapters]\nacme = {line}\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_ACME', json.dumps({'secret': KEY}))
    for cached in (available_adapters, get_adapter):
        cached.cache_clear()
    yield
    for cached in (available_adapters, get_adapter):
        cached.cache_clear()


@pytest.mark.django_db
def test_the_page_of_an_adapter_is_followed(adapter):
    _example, proof = blocks('billing-adapter.md', 'python')
    exec(compile(proof, 'billing-adapter.md', 'exec'), {'KEY': KEY})


@pytest.mark.django_db
@pytest.mark.parametrize('page', ['stage-action.md', 'hold-kind.md'])
def test_the_page_is_followed(page, copy):
    (change,), (proof,) = blocks(page, 'diff'), blocks(page, 'python')
    code, output = prove(copy, proof)
    assert code == 1, 'without the change there is nothing to prove'
    done = subprocess.run(
        ['patch', '--strip=1', '--fuzz=0', '--no-backup-if-mismatch'],
        input=change, cwd=copy, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    code, output = prove(copy, proof)
    assert code == 0, output
    assert str(copy) in output  # it was the copy that was asked


def test_every_page_is_listed_and_names_files_that_exist():
    index = (DOCS / 'index.md').read_text(encoding='utf-8')
    for page in (*DOCS.glob('*.md'), DOCS.parent / 'drivers' / 'writing.md'):
        assert page.name == 'index.md' or f'{page.name})' in index
        for name in re.findall(FILE, page.read_text(encoding='utf-8')):
            assert (ROOT / name).exists() or (ROOT / 'netbox_delinquency' / name).exists(), f'{page.name}: {name}'
