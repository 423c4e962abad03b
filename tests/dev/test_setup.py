"""`dev/setup.sh`: two of them side by side on one clone."""

import os
import shutil
import subprocess
import sys

import pytest

from dev.services import ROOT

# Stands in for uv: makes an environment that runs, and installs nothing, once it is let go on.
UV = """#!/bin/sh
case $1 in
venv) mkdir -p .venv/bin && ln -s {python} .venv/bin/python ;;
pip) echo installing >> {log}; read -r _ < {gate} ;;
esac
"""


@pytest.fixture
def clone(tmp_path):
    """What setup reads of a clone, and the environment it runs in: a uv of ours, and services that are given."""
    for name in ('pyproject.toml', 'setup.py', 'dev/setup.sh', 'dev/constraints.txt', 'dev/overrides.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    os.mkfifo(tmp_path / 'gate')
    (tmp_path / 'bin').mkdir()
    uv = tmp_path / 'bin' / 'uv'
    uv.write_text(UV.format(python=sys.executable, log=tmp_path / 'log', gate=tmp_path / 'gate'))
    uv.chmod(0o755)
    return tmp_path


def start(clone):
    env = {
        **os.environ,
        'PATH': f'{clone / "bin"}{os.pathsep}{os.environ["PATH"]}',
        'PYTHON': sys.executable,
    }
    return subprocess.Popen(['sh', 'dev/setup.sh'], cwd=clone, env=env, text=True, stdout=subprocess.PIPE)


def test_a_second_setup_of_a_clone_waits_and_finds_everything_installed(clone):
    first = start(clone)
    assert any('installing Python packages' in line for line in first.stdout)
    second = start(clone)
    assert second.stdout.readline() == 'setup: waiting for another setup of this clone\n'
    with (clone / 'gate').open('w') as gate:
        gate.write('go on\n')
    assert first.wait(60) == 0
    assert second.communicate(timeout=60)[0] == ''
    assert second.returncode == 0
    assert (clone / 'log').read_text() == 'installing\n'
