"""What a login may do in FreeRADIUS's tables, found without doing any of it."""

from __future__ import annotations

from sqlalchemy import Connection, Executable, delete, false, insert, select, text
from sqlalchemy.exc import DBAPIError

from nornir_tasks.drivers.radius.freeradius_tables import (
    memory,
    radacct,
    radcheck,
    radgroupcheck,
    radgroupreply,
    radreply,
    radusergroup,
)


def missing_rights(connection: Connection, may_add_groups: bool) -> dict[str, list[str]]:
    """What the login may not do, by table, as words of a GRANT.

    Found by statements that do it to no row at all, each within a savepoint: a database checks the right first.
    """
    writes = {radusergroup.name, radreply.name, memory.name} | ({radgroupreply.name} if may_add_groups else set())
    reads = (radusergroup, radreply, radcheck, radgroupreply, radgroupcheck, radacct, memory)
    missing: dict[str, list[str]] = {}
    for table in reads:
        nothing = select(table).where(false())
        tries: dict[str, Executable] = {'SELECT': nothing}
        if table.name in writes:
            tries['INSERT'] = insert(table).from_select(list(table.c), nothing)
        if table.name in writes - {radgroupreply.name}:
            tries |= {'UPDATE': nothing.with_for_update(), 'DELETE': delete(table).where(false())}
        lacking = [right for right, statement in tries.items() if not _may(connection, statement)]
        if lacking:
            missing[table.name] = lacking
    if connection.dialect.name == 'postgresql':
        for name in writes - {memory.name} - set(missing):
            may = text("SELECT has_sequence_privilege(pg_get_serial_sequence(:name, 'id'), 'USAGE')")
            if connection.execute(may, {'name': name}).scalar() is False:
                missing[f'SEQUENCE {name}_id_seq'] = ['USAGE']
    return missing


def _may(connection: Connection, statement: Executable) -> bool:
    try:
        with connection.begin_nested() as savepoint:
            connection.execute(statement)
            savepoint.rollback()
    except DBAPIError:
        return False
    return True
