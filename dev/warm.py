"""NetBox's web server and workers from one process, which reads NetBox's code once and forks them.

Run as `python -m dev.warm SEED HOST:PORT QUEUE…`, in the environment of an instance; SEED is what `dev.seed` fills the
database from. Each child runs what its command runs: `netbox runserver`, `netbox rqworker QUEUE`. To read NetBox's code
takes every process some seconds of CPU, which is most of what there is to wait for when the demo begins.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import django


def fork(work: Callable[[], object]) -> int:
    """Run it in a child, which ends with it; returns the child's process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main(seed: Path, address: str, queues: list[str]) -> None:
    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from dev.seed import fill
    from nornir_tasks.inventory.hosts import preload

    preload()  # as every worker does
    # No child may share a connection, nor copy memory only because the collector looked at it.
    connections.close_all()
    gc.freeze()
    server = {'use_reloader': False, 'insecure_serving': True, 'skip_checks': True}
    seeding = fork(lambda: fill(seed))
    children = [
        fork(lambda: call_command('runserver', address, **server)),
        *(fork(lambda queue=queue: call_command('rqworker', queue, skip_checks=True)) for queue in queues),
    ]
    if os.waitpid(seeding, 0)[1]:
        sys.exit('NetBox could not be filled with the demo network')  # and who started us ends the others
    for pid in children:
        os.waitpid(pid, 0)


if __name__ == '__main__':
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
