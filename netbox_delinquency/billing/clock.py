"""The database's clock: one for all web servers and workers, whatever theirs say."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

__all__ = ('database_now',)


def database_now() -> datetime:
    """This very moment, by the database; within a transaction it goes on."""
    with connection.cursor() as cursor:
        cursor.execute('SELECT clock_timestamp()')
        now: datetime = cursor.fetchone()[0]
    return now
