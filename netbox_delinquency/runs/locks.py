"""Locks: one worker at a point *and queue* at a time, so that what gives access back never waits for what takes it.

The lock is PostgreSQL's: held by the database session of the worker, and so given back by a `kill -9` too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import Error, connection

from ..choices import RunKindChoices

__all__ = ('ENFORCE', 'RESTORE', 'held_points', 'hold_point', 'kinds_in_queue', 'queue_of_kind')

ENFORCE, RESTORE = 'enforce', 'restore'
LOCK_CLASSES = {ENFORCE: 0x64656C71, RESTORE: 0x64656C72}  # "delq", "delr": our own spaces of advisory locks


def queue_of_kind(kind: str) -> str:
    return RESTORE if kind == RunKindChoices.RESTORE else ENFORCE


def kinds_in_queue(queue: str) -> list[str]:
    return [kind for kind in RunKindChoices.values() if queue_of_kind(kind) == queue]


@contextmanager
def hold_point(point: int, queue: str) -> Iterator[bool]:
    """Hold a point for this process; False where another one has it. It must not close its database connection."""
    with connection.cursor() as cursor:
        cursor.execute('SELECT pg_try_advisory_lock(%s, %s)', [LOCK_CLASSES[queue], point])
        is_mine = cursor.fetchone()[0]
    try:
        yield is_mine
    finally:
        # Where the session died (the database was restarted), its lock died with it.
        if is_mine:
            with suppress(Error), connection.cursor() as cursor:
                cursor.execute('SELECT pg_advisory_unlock(%s, %s)', [LOCK_CLASSES[queue], point])


def held_points(queue: str) -> set[int]:
    """The points, by primary key, that a living worker holds in this queue."""
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT objid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database'
            " WHERE locktype = 'advisory' AND classid = %s AND granted AND datname = current_database()",
            [LOCK_CLASSES[queue]],
        )
        return {int(pk) for (pk,) in cursor.fetchall()}
