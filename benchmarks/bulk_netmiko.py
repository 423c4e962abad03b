"""What a good netmiko script does of the same job, in the ways people write it, each tuned as well as netmiko lets it.

All of them read, compare, change stored profile and session, and read both back: a row counts as right only by what
the router then says. They are lent this project's quoting, and one console line carries what belongs together.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import netmiko

from benchmarks.bulk_contender import PASSWORD, Job, Row
from benchmarks.bulk_world import PROFILE_OF, SESSION_CAP
from nornir_tasks.drivers.routeros.syntax import quote

# The login suffix +ct511w4098h is netmiko's own doing for RouterOS.
TUNING: dict[str, Any] = {
    'device_type': 'mikrotik_routeros',
    'fast_cli': True,  # the smaller of all waits
    'global_delay_factor': 0.01,  # of 0.25 s after the login, and of 0.05 s between the lines of a set
    'global_cmd_verify': False,  # do not read every command's echo first
    'auto_connect': True,
}
# `expect_string` is printed by the line itself: nothing is guessed from prompts, which RouterOS draws twice.
END, SAY_END = 'bench-end', ':put ("bench-"."end")'
NONE = ('', '')
LOGIN_TRIES, LOGIN_PAUSE_S = 5, 0.1
SETTLE_S, SETTLE_PAUSE_S = 5.0, 0.25  # for a dropped session to come back, as this project waits
RATES = {'5000000/20000000': 'normal', '512000/1000000': 'throttled'}

READ = (
    ':foreach r in=[/ppp secret print as-value proplist=name,profile{0}] do={{'
    ':put ("S|".($r->"profile")."|".($r->"name"))}}; '
    ':foreach r in=[/ppp active print as-value proplist=name,address{0}] do={{'
    ':put ("A|".($r->"address")."|".($r->"name"))}}; '
    ':foreach r in=[/queue simple print as-value proplist=name,max-limit{1}] do={{'
    ':put ("Q|".($r->"max-limit")."|".($r->"name"))}}; '
    ':foreach r in=[/ip firewall address-list print as-value proplist=address where list="nbd-restricted"] do={{'
    ':put ("L|".($r->"address")."|")}}; '
) + SAY_END


def read_command(name: str = '') -> str:
    """One line that prints a line's secret, session, queue and listing, or those of the whole router."""
    if not name:
        return READ.format('', '')
    return READ.format(f' where name={quote(name)}', f' where name={quote(f"<pppoe-{name}>")}')


def change_command(row: Row) -> str:
    name = quote(row.name)
    return (
        f'/ppp secret set [find name={name}] profile={quote(PROFILE_OF[row.desired])}; '
        f'/ppp active remove [find name={name}]'
    )


def parse(answer: str) -> dict[str, tuple[str, str]]:
    """By user name: the stored profile, and what its session has now (empty: no session)."""
    found: dict[str, dict[str, str]] = {kind: {} for kind in 'SAQL'}
    for line in answer.splitlines():
        if match := re.match(r'([SAQL])\|([^|]*)\|(.*)', line):
            kind, value, name = match.groups()
            found[kind][name if kind != 'L' else value] = value
    lines = {}
    for name, profile in found['S'].items():
        address = found['A'].get(name, '')
        limit = found['Q'].get(f'<pppoe-{name}>', '')
        live = 'blocked' if address in found['L'] else RATES.get(limit, 'other') if address else ''
        lines[name] = (profile, live)
    return lines


def wrong_with(row: Row, line: tuple[str, str] | None) -> str:
    """Empty where a reading is as desired; a line without a session has its stored profile only."""
    if line is None:
        return 'it could not be read'
    stored, live = line
    if stored == PROFILE_OF[row.desired] and live in ('', row.desired):
        return ''
    return f'stored {stored}, live {live or "none"}'


@contextlib.contextmanager
def session(job: Job, router: str) -> Iterator[netmiko.BaseConnection]:
    """Logged in, on a socket without Nagle's delay."""
    sock = socket.create_connection(('127.0.0.1', job.routers[router]['port']), job.timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        connection = netmiko.ConnectHandler(
            host='127.0.0.1', port=job.routers[router]['port'], username='admin', password=PASSWORD, sock=sock,
            conn_timeout=job.timeout, banner_timeout=job.timeout, auth_timeout=job.timeout, **TUNING,
        )  # fmt: skip
    except BaseException:
        sock.close()
        raise
    try:
        yield connection
    finally:
        connection.disconnect()


def send(connection: netmiko.BaseConnection, command: str, timeout: float) -> str:
    return str(
        connection.send_command(
            command, expect_string=END, read_timeout=timeout, strip_command=False, strip_prompt=False, cmd_verify=False
        )
    )


# --- one connection a subscriber ---


def per_subscriber(job: Job) -> dict[str, str]:
    """50 threads; never more sessions at a router than it takes."""
    caps = {router: threading.Semaphore(SESSION_CAP) for router in job.routers}
    # Round robin over the routers, so that no thread waits for a router while another stands idle.
    queues = [iter(rows) for rows in job.by_router().values()]
    order = [row for group in zip(*queues, strict=False) for row in group]
    order += [row for rows in queues for row in rows]

    def work(row: Row) -> tuple[str, str]:
        with caps[row.router]:
            try:
                return row.key, _patiently(job, row)
            except Exception as error:  # noqa: BLE001 - a script that lost its connection knows no more than this
                return row.key, f'{type(error).__name__}'

    with ThreadPoolExecutor(50) as pool:
        return dict(pool.map(work, order))


def _patiently(job: Job, row: Row) -> str:
    """A router may count a session for a moment after it has ended, and refuse a login beyond its cap."""
    for _ in range(LOGIN_TRIES - 1):
        with contextlib.suppress(netmiko.NetmikoAuthenticationException):
            return _one(job, row)
        time.sleep(LOGIN_PAUSE_S)
    return _one(job, row)


def _one(job: Job, row: Row) -> str:
    with session(job, row.router) as connection:
        before = parse(send(connection, read_command(row.name), job.timeout)).get(row.name)
        if before is None or not wrong_with(row, before):
            return wrong_with(row, before)
        send(connection, f'{change_command(row)}; {SAY_END}', job.timeout)
        had_session = bool(before[1])
        deadline = time.monotonic() + SETTLE_S
        while True:
            after = parse(send(connection, read_command(row.name), job.timeout)).get(row.name)
            if not (had_session and after and not after[1]) or time.monotonic() > deadline:
                return wrong_with(row, after)
            time.sleep(SETTLE_PAUSE_S)


# --- one session a router ---


def per_router(job: Job) -> dict[str, str]:
    """20 threads, row by row: every line is read and changed with a command each, and read back once all are changed,
    so that no time goes by waiting for sessions to come back."""
    return _per_router(job, _row_by_row)


def expert(job: Job) -> dict[str, str]:
    """This project's way of reading all of a router at once, before and after; `send_command` a change."""
    return _per_router(job, _read_at_once)


def expert_set(job: Job) -> dict[str, str]:
    """The same, with all changes of a router in one `send_config_set`, which waits for no answer to any."""
    return _per_router(job, _config_set)


Work = Callable[[Job, str, Sequence[Row]], dict[str, str]]


def _per_router(job: Job, work: Work) -> dict[str, str]:
    rows = job.by_router()
    said: dict[str, str] = {}
    with ThreadPoolExecutor(len(rows)) as pool:
        for answer in pool.map(lambda router: work_router(job, router, rows[router], work), rows):
            said |= answer
    return said


def work_router(job: Job, router: str, rows: Sequence[Row], work: Work) -> dict[str, str]:
    try:
        return work(job, router, rows)
    except Exception as error:  # noqa: BLE001 - see `per_subscriber`
        return {row.key: f'{type(error).__name__}' for row in rows}


class _Router:
    """A session at a router; one that hangs is given up, and a new one goes on with the next command."""

    def __init__(self, job: Job, router: str) -> None:
        self.job = job
        self.router = router
        self.open = contextlib.ExitStack()
        self.connection: netmiko.BaseConnection | None = None

    def send(self, command: str) -> str | None:
        """None where nothing was answered in time."""
        if self.connection is None:
            self.connection = self.open.enter_context(session(self.job, self.router))
        try:
            return send(self.connection, command, self.job.timeout)
        except netmiko.ReadTimeout:
            self.close()
            return None

    def close(self) -> None:
        self.connection = None
        self.open.close()


def _row_by_row(job: Job, router: str, rows: Sequence[Row]) -> dict[str, str]:
    def read(row: Row) -> tuple[str, str] | None:
        answer = at.send(read_command(row.name))
        return parse(answer).get(row.name) if answer is not None else None

    with contextlib.closing(_Router(job, router)) as at:
        before: dict[str, tuple[str, str]] = {}
        for row in rows:
            line = read(row)
            if line is not None:
                before[row.name] = line
                if wrong_with(row, line):
                    at.send(f'{change_command(row)}; {SAY_END}')

        def again(waiting: Sequence[Row]) -> dict[str, tuple[str, str]]:
            return {row.name: line for row in waiting if (line := read(row)) is not None}

        return _read_back([row for row in rows if row.name in before], before, again) | {
            row.key: 'it could not be read' for row in rows if row.name not in before
        }


def _read_at_once(job: Job, router: str, rows: Sequence[Row]) -> dict[str, str]:
    with contextlib.closing(_Router(job, router)) as at:
        before = parse(at.send(read_command()) or '')
        for row in rows:
            if row.name in before and wrong_with(row, before[row.name]):
                at.send(f'{change_command(row)}; {SAY_END}')
        return _read_back(rows, before, lambda waiting: parse(at.send(read_command()) or ''))


def _config_set(job: Job, router: str, rows: Sequence[Row]) -> dict[str, str]:
    with contextlib.closing(_Router(job, router)) as at:
        before = parse(at.send(read_command()) or '')
        wanted = [row for row in rows if row.name in before and wrong_with(row, before[row.name])]
        if wanted and at.connection:
            at.connection.send_config_set([change_command(row) for row in wanted], cmd_verify=False)
        return _read_back(rows, before, lambda waiting: parse(at.send(read_command()) or ''))


def _read_back(
    rows: Sequence[Row],
    before: dict[str, tuple[str, str]],
    read: Callable[[Sequence[Row]], dict[str, tuple[str, str]]],
) -> dict[str, str]:
    """What is wrong with each row; lines whose session was up are given time to come back."""
    after: dict[str, tuple[str, str]] = {}
    waiting, deadline = list(rows), time.monotonic() + SETTLE_S
    while True:
        after |= read(waiting)
        # Those whose session was up and is not.
        waiting = [row for row in waiting if before.get(row.name, NONE)[1] and not after.get(row.name, ('', '?'))[1]]
        if not waiting or time.monotonic() > deadline:
            return {row.key: wrong_with(row, after.get(row.name)) for row in rows}
        time.sleep(SETTLE_PAUSE_S)


# --- Nornir, as it comes ---


def with_nornir(job: Job) -> dict[str, str]:
    """Nornir's own threaded runner and inventory, and netmiko in the task: what `per_router` does."""
    from nornir.core import Nornir
    from nornir.core.inventory import Defaults, Groups, Host, Hosts, Inventory
    from nornir.core.task import Result, Task
    from nornir.plugins.runners import ThreadedRunner

    rows = job.by_router()

    def enforce(task: Task) -> Result:
        return Result(host=task.host, result=work_router(job, task.host.name, rows[task.host.name], _row_by_row))

    hosts = Hosts({name: Host(name) for name in rows})
    nornir = Nornir(inventory=Inventory(hosts, Groups(), Defaults()), runner=ThreadedRunner(len(rows)))
    said: dict[str, str] = {}
    for answer in nornir.run(task=enforce).values():
        said |= answer[0].result
    return said
