"""Text of a PostgreSQL database without an encoding (SQL_ASCII): UTF-8, and whatever is none to the byte."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.adapt import Buffer, Loader
from psycopg.types.string import StrDumperUnknown

TYPES = ('text', 'varchar', 'bpchar', 'name', '"char"', 705)  # the last is that of a plain literal


class _Bytes(Loader):
    def load(self, data: Buffer) -> str:
        return bytes(data).decode('utf-8', 'surrogateescape')


class _Text(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer:
        return obj.encode('utf-8', 'surrogateescape')


def take_bytes_as_text(connection: Connection[Any]) -> None:
    """psycopg alone would hand out bytes, and take none that are not UTF-8."""
    for name in TYPES:
        connection.adapters.register_loader(name, _Bytes)
    connection.adapters.register_dumper(str, _Text)
