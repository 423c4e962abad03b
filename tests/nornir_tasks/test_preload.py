"""What a worker imports before it forks a process for each job."""

import subprocess
import sys


def test_what_is_preloaded_need_not_be_imported_by_a_forked_job():
    """In a process of its own: here, everything may be imported already."""
    code = (
        'import sys\n'
        'from nornir.plugins.runners import SerialRunner\n'
        'from nornir_tasks.inventory.hosts import nornir_for, preload\n'
        'from nornir_tasks.points import Point\n'
        'import nornir_tasks.run\n'
        'preload()\n'
        'known = set(sys.modules)\n'
        'for driver in ("routeros", "linux", "radius"):\n'
        '    nornir_for([Point("bras-1", driver, "127.0.0.1")], SerialRunner())\n'
        'assert "paramiko" in known\n'
        'assert set(sys.modules) == known, set(sys.modules) - known\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
