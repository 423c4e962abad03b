"""Where each device informed from, and how often by turns from two places: kept by the very statement that takes its
Inform, so that processes of which each sees but one of two devices with one identity know of both.
"""

from __future__ import annotations

WITHIN_S = 24 * 3600.0  # this long without another turn, and it is one device again
TURNS = 3  # there, back, and there again: a device that has moved does not come back


def place_of(address: str, url: str, software_version: str) -> str:
    """As `_place` has it in SQL."""
    return f'{address} ({url or "no URL"}, software {software_version or "?"})'


def conflict_of(device_id: str, here: str, there: str) -> str:
    """The sentence for two devices of one identity."""
    return f'two devices have the identity {device_id}: {here} and {there} inform by turns'


def _place(of: str) -> str:
    url = f"COALESCE(NULLIF({of}.connection_request_url, ''), 'no URL')"
    software = f"COALESCE(NULLIF({of}.software_version, ''), '?')"
    return f"({of}.address || ' (' || {url} || ', software ' || {software} || ')')"


def turns_sql(table: str) -> str:
    """What an upsert of a device sets for it: a return to where it came from the time before is a turn."""

    def at(of: str) -> str:
        return f'({of}.address, {of}.connection_request_url, {of}.software_version)'

    moved = f'{at(table)} <> {at("excluded")}'
    returns = f'{_place("excluded")} = {table}.former_place AND excluded.last_inform - {table}.turned_at <= {WITHIN_S}'
    return (
        f'turns = CASE WHEN NOT ({moved}) THEN {table}.turns WHEN {returns} THEN {table}.turns + 1 ELSE 1 END, '
        f'former_place = CASE WHEN {moved} THEN {_place(table)} ELSE {table}.former_place END, '
        f'turned_at = CASE WHEN {moved} THEN excluded.last_inform ELSE {table}.turned_at END'
    )
