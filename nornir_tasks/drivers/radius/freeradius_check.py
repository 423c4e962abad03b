"""Whether a FreeRADIUS database is fit to be used, and the exact lines that are missing. Reads only."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, inspect
from sqlalchemy.schema import CreateTable

from nornir_tasks.drivers.base import Finding
from nornir_tasks.drivers.radius import freeradius_tables as tables
from nornir_tasks.drivers.radius.server_decision import GroupRows
from nornir_tasks.drivers.radius.table_rights import missing_rights

NEEDED = ('radusergroup', 'radreply', 'radcheck', 'radgroupreply', 'radgroupcheck', 'radacct')
# What others call the groups that they block by: ERPs, daloRADIUS, people.
USUAL = re.compile(
    r'bloque|suspen|inadimpl|disabled|desativ|deactivat|cancel|cort|overdue|blocked|reject|reduzid|sem.?acesso',
    re.IGNORECASE,
)


def check_database(connection: Connection, where: str, may_add_groups: bool) -> tuple[list[Finding], bool]:
    """Its tables and the rights of the login; False where nothing more can be said of it."""
    findings = [Finding('reachability', ok=True, message=f'{where} answers, and took the login')]
    present = set(inspect(connection).get_table_names())
    missing = [name for name in NEEDED if name not in present]
    why = f"missing: {', '.join(missing)}: load FreeRADIUS's schema" if missing else ''
    findings.append(Finding('tables', not missing, why))
    ddl = ' '.join(str(CreateTable(tables.memory).compile(connection.engine)).split())
    there = tables.memory.name in present
    why = '' if there else 'the table that remembers what was replaced is missing'
    findings.append(Finding('memory', there, why, () if there else (ddl,)))
    if there and not missing:
        findings.append(_rights(connection, may_add_groups))
    return findings, not missing and (findings[-1].ok or not there)


def _rights(connection: Connection, may_add_groups: bool) -> Finding:
    lacking = missing_rights(connection, may_add_groups)
    if not lacking:
        return Finding('privileges', ok=True, message='the login may read and write what it needs to')
    login = connection.engine.url.username
    grants = '; '.join(f'GRANT {", ".join(rights)} ON {table} TO {login}' for table, rights in lacking.items())
    return Finding('privileges', ok=False, message=f'somebody with full rights must add: {grants}')


def check_members(members: Mapping[str, int], known: Collection[str]) -> list[Finding]:
    """Groups that look like another's block, by usual names: only a person can say whether they are."""
    seen = {name: count for name, count in sorted(members.items()) if name not in known and USUAL.search(name)}
    if not seen:
        return []
    text = (
        f'members are in {", ".join(f"{name} ({count})" for name, count in seen.items())}: if somebody else '
        'restricts by these, name them in "foreign_groups"; until then they are taken for ordinary plans'
    )
    return [Finding('foreign groups', ok=False, message=text, required=False)]


def check_group(name: str, groups: Mapping[str, GroupRows], add: tuple[str, ...]) -> Finding:
    rows = groups.get(name, GroupRows())
    ok = bool(rows.reply) or rows.rejects
    text = '' if ok else 'it has no rows in radgroupreply, so it would restrict nothing'
    return Finding(f'group {name}', ok, text, add)
