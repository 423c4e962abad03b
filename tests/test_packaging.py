"""What users install: wheel and sdist hold the migrations in their place, and a fresh environment can migrate."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from dev.instance import base_template, copy_database, drop_database, environment
from dev.services import ROOT, services

MIGRATION = 'netbox_delinquency/migrations/0001_initial.py'
SOURCES = (
    'README.md', 'LICENSE', 'pyproject.toml', 'setup.py', 'migrations', 'netbox_delinquency', 'nornir_tasks', 'tr069',
)  # fmt: skip


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """Wheel and sdist, built from a copy of the sources, with the build tools of the project's own environment."""
    folder = tmp_path_factory.mktemp('build')
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns('__pycache__', '*.mo'))
        else:
            shutil.copy(source, folder / name)
    subprocess.run([sys.executable, '-m', 'build', '--no-isolation', '--outdir', 'dist', '.'], cwd=folder, check=True)
    return next((folder / 'dist').glob('*.whl')), next((folder / 'dist').glob('*.tar.gz'))


def test_the_wheel_holds_the_migrations_the_catalogue_and_no_second_copy(built):
    names = zipfile.ZipFile(built[0]).namelist()
    assert MIGRATION in names
    # NetBox knows Portuguese as `pt` only, and gives it to browsers that ask for pt-BR.
    for locale in ('pt', 'pt_BR'):
        assert f'netbox_delinquency/locale/{locale}/LC_MESSAGES/django.mo' in names
    assert 'netbox_delinquency/templates/netbox_delinquency/panels/counts.html' in names
    assert any(name.startswith('tr069/datamodel/profiles/') for name in names)
    tops = {name.split('/')[0] for name in names}
    assert {top for top in tops if not top.endswith('.dist-info')} == {'netbox_delinquency', 'nornir_tasks', 'tr069'}


def test_the_sdist_holds_the_migrations_where_the_tree_has_them(built):
    with tarfile.open(built[1]) as sdist:
        names = {name.partition('/')[2] for name in sdist.getnames()}
    assert {'migrations/0001_initial.py', 'setup.py', 'netbox_delinquency/__init__.py'} <= names


def test_an_editable_install_finds_the_migrations_at_the_top_of_the_tree():
    import netbox_delinquency.migrations

    assert Path(netbox_delinquency.migrations.__file__).parent == ROOT / 'migrations'


def test_the_wheel_in_a_fresh_environment_migrates_a_netbox(built, tmp_path):
    uv = shutil.which('uv') or str(ROOT / '.netbox/uv/bin/uv')
    subprocess.run([uv, 'venv', '--quiet', '--python', sys.executable, tmp_path / 'venv'], check=True)
    python = tmp_path / 'venv' / 'bin' / 'python'
    pins = ['--constraint', ROOT / 'dev' / 'constraints.txt', '--override', ROOT / 'dev' / 'overrides.txt']
    subprocess.run([uv, 'pip', 'install', '--quiet', '--python', python, *pins, 'netbox', built[0]], check=True)
    with services() as urls:
        copy_database(urls, base_template(), 'netbox_packaging')
        try:
            env = environment(urls, 'netbox_packaging')
            env = {name: value for name, value in env.items() if not name.startswith(('PYTHON', 'COVERAGE', 'VIRTUAL'))}
            # Away from the tree, so that nothing but the wheel can be imported.
            done = subprocess.run(
                [tmp_path / 'venv' / 'bin' / 'netbox', 'migrate', '--no-input'],
                env=env, cwd=tmp_path, text=True, capture_output=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert 'Applying netbox_delinquency.0001_initial... OK' in done.stdout
            where = [python, '-c', 'import netbox_delinquency.migrations as m; print(m.__file__)']
            found = subprocess.run(where, env=env, cwd=tmp_path, text=True, capture_output=True, check=False)
            assert str(tmp_path / 'venv') in os.path.realpath(found.stdout.strip()) or found.returncode
        finally:
            drop_database(urls, 'netbox_packaging')
