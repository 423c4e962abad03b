"""Packages beside the virtual environment: other versions of what is in it, for tests that need both."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from dev.services import ROOT, ServiceError


def paramiko_before_5() -> Path:
    """A folder that, put first on `PYTHONPATH`, has paramiko 4; what that needs is in the environment already."""
    folder = ROOT / '.netbox' / 'paramiko4'
    if not (folder / 'paramiko').is_dir():
        uv = shutil.which('uv') or shutil.which(str(ROOT / '.netbox' / 'uv' / 'bin' / 'uv'))
        if uv is None:
            raise ServiceError('uv is needed to install paramiko 4: run make setup first')
        command = [uv, 'pip', 'install', '--quiet', '--no-deps', '--python', sys.executable]
        subprocess.run([*command, '--target', str(folder), 'paramiko>=4,<5'], check=True)
    return folder
