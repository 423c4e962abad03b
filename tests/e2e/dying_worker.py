"""`netbox rqworker QUEUE…`, whose jobs die by `kill -9` at a step that is told them while they run.

The step is the content of the file named by `DELINQUENCY_TEST_DIE`; who dies of it takes it away. Without such
a file this is an ordinary worker.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import wraps
from pathlib import Path

STEPS = ('claimed', 'journaled', 'applied', 'read', 'closed')


def die_at(step: str) -> None:
    file = Path(os.environ['DELINQUENCY_TEST_DIE'])
    try:
        if file.read_text() != step:
            return
        file.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def dies(owner: type, name: str, before: str = '', after: str = '') -> None:
    method = getattr(owner, name)

    @wraps(method)
    def wrapped(self, rows, *args):
        if before and rows:
            die_at(before)
        answer = method(self, rows, *args)
        if after and rows:
            die_at(after)
        return answer

    setattr(owner, name, wrapped)


def main() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from netbox_delinquency.runs.journal import DatabaseJournal
    from nornir_tasks.engine.tasks import PointWork

    dies(DatabaseJournal, 'claim', after='claimed')
    dies(DatabaseJournal, 'sending', after='journaled')
    dies(PointWork, '_read_back', before='applied')
    dies(DatabaseJournal, 'finished', before='read', after='closed')
    call_command('rqworker', *sys.argv[1:])


if __name__ == '__main__':
    main()
