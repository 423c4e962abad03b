"""A real FreeRADIUS on free ports: a NAS's side of dynamic authorization, and a RADIUS server on SQL tables.

What the NAS's side does is asked for in the User-Name: `ack…` (and any other) is acknowledged, `nak-503` refused with
that Error-Cause, `slow…` answered after a moment, `drop…` never, `unsigned…` without a Message-Authenticator.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECRET = 'a-long-shared-secret-for-tests'
PROGRAM = '/usr/sbin/freeradius'
DICTIONARY = '/usr/share/freeradius'
QUERIES = Path('/etc/freeradius/3.0/mods-config/sql/main')
SLOW_SECONDS = 0.6

RADIUSD = """
prefix = /usr
name = freeradius
logdir = {folder}
raddbdir = {folder}
run_dir = {folder}
pidfile = {folder}/pid
correct_escapes = true
max_request_time = 30
cleanup_delay = 5
max_requests = 65536
hostname_lookups = no
libdir = /usr/lib/freeradius
log {{
    destination = files
  file = {folder}/radius.log
  auth = no
  }}
security {{
    allow_core_dumps = no
  max_attributes = 200
  reject_delay = 0
  status_server = no
  }}
thread pool {{
    start_servers = 4
  max_servers = 32
  min_spare_servers = 2
  max_spare_servers = 8
  max_requests_per_server = 0
  auto_limit_acct = no
  }}
client v4 {{
    ipaddr = 127.0.0.1
  secret = {secret}
  require_message_authenticator = no
  limit {{
    max_connections = 0
  }}
  }}
client v6 {{
    ipv6addr = ::1
  secret = {secret}
  }}
modules {{
  always ok {{
    rcode = ok
  }}
  always reject {{
    rcode = reject
  }}
  always handled {{
    rcode = handled
  }}
  pap {{
    normalise = yes
  }}
  exec {{
    wait = yes
    program = "/bin/sleep {slow}"
    input_pairs = request
    shell_escape = yes
    timeout = 10
  }}
  {modules}
}}
{servers}
"""
COA = """
server coa {{
  listen {{
    type = coa
    ipaddr = 127.0.0.1
    port = {port}
  }}
  listen {{
    type = coa
    ipv6addr = ::1
    port = {port}
  }}
  recv-coa {{
    if (&User-Name =~ /^drop/) {{
    handled
  }}
    elsif (&User-Name == "nak-none") {{
    reject
  }}
    elsif (&User-Name =~ /^nak-([0-9]+)/) {{
      update reply {{
    Error-Cause := "%{{1}}"
  }}
      reject
    }}
    elsif (&User-Name =~ /^slow/) {{
    exec
  }}
    else {{
    ok
  }}
  }}
  send-coa {{
    if (!(&User-Name =~ /^unsigned/)) {{
      update reply {{
    Message-Authenticator := 0x00
  }}
    }}
    ok
  }}
}}
"""
SQL_MODULE = """
  expr {{
  }}
  sql {{
    dialect = "{dialect}"
    driver = "rlm_sql_{dialect}"
    {where}
    radius_db = "{database}"
    acct_table1 = "radacct"
    acct_table2 = "radacct"
    postauth_table = "radpostauth"
    authcheck_table = "radcheck"
    groupcheck_table = "radgroupcheck"
    authreply_table = "radreply"
    groupreply_table = "radgroupreply"
    usergroup_table = "radusergroup"
    read_groups = yes
    client_table = "nas"
    group_attribute = "SQL-Group"
    delete_stale_sessions = yes
    pool {{
    start = 1
      min = 1
      max = 4
      spare = 1
      uses = 0
      lifetime = 0
      idle_timeout = 0
  }}
    $INCLUDE {queries}/queries.conf
  }}
"""
SQL_SERVER = """
server access {{
  listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {auth}
  }}
  listen {{
    type = acct
    ipaddr = 127.0.0.1
    port = {acct}
  }}
  authorize {{
    sql
    pap
  }}
  authenticate {{
    Auth-Type PAP {{
    pap
  }}
  }}
  preacct {{
    update request {{
    Acct-Unique-Session-Id := "%{{md5:%{{User-Name}},%{{Acct-Session-Id}},%{{NAS-IP-Address}}%{{NAS-IPv6-Address}}}}"
  }}
  }}
  accounting {{
    sql
  }}
}}
"""


def missing() -> str:
    """Why FreeRADIUS cannot be run here; empty where it can."""
    if not (os.access(PROGRAM, os.X_OK) and shutil.which('radclient')):
        return 'needs the Debian packages freeradius and freeradius-utils'
    for database in ('postgresql', 'mysql'):
        if not Path(f'/usr/lib/freeradius/rlm_sql_{database}.so').exists():
            return f'needs the Debian package freeradius-{database}'
    # Debian lets only root and its own user read FreeRADIUS's configuration, the queries among it.
    return '' if os.access(QUERIES / 'postgresql' / 'queries.conf', os.R_OK) else f'{QUERIES} cannot be read'


def free_udp_port(family: int = socket.AF_INET) -> int:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind(('::1' if family == socket.AF_INET6 else '127.0.0.1', 0))
        return int(sock.getsockname()[1])


@dataclass(frozen=True)
class FreeRADIUS:
    """Ports on 127.0.0.1 (and ::1 for `coa`), all with the secret `SECRET`; unused ones are 0."""

    coa: int = 0
    auth: int = 0
    acct: int = 0


@contextlib.contextmanager
def freeradius_nas(folder: Path) -> Iterator[FreeRADIUS]:
    """One that answers dynamic authorization."""
    port = free_udp_port()
    with _running(folder, '', COA.format(port=port)):
        yield FreeRADIUS(coa=port)


@contextlib.contextmanager
def freeradius_server(folder: Path, dialect: str, where: str, database: str) -> Iterator[FreeRADIUS]:
    """One that authenticates and accounts by rlm_sql; `dialect` is `postgresql` or `mysql`, `where` its login lines."""
    auth, acct = free_udp_port(), free_udp_port()
    module = SQL_MODULE.format(dialect=dialect, where=where, database=database, queries=QUERIES / dialect)
    with _running(folder, module, SQL_SERVER.format(auth=auth, acct=acct)):
        yield FreeRADIUS(auth=auth, acct=acct)


@contextlib.contextmanager
def _running(folder: Path, modules: str, servers: str) -> Iterator[None]:
    config = RADIUSD.format(folder=folder, secret=SECRET, slow=SLOW_SECONDS, modules=modules, servers=servers)
    (folder / 'radiusd.conf').write_text(config)
    (folder / 'dictionary').write_text('')
    command = [PROGRAM, '-f', '-d', str(folder), '-D', DICTIONARY, '-n', 'radiusd', '-l', str(folder / 'radius.log')]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    log = folder / 'radius.log'
    try:
        end = time.monotonic() + 20
        while not (log.exists() and 'Ready to process requests' in log.read_text(errors='replace')):
            if process.poll() is not None or time.monotonic() > end:
                said = process.stdout.read().decode(errors='replace') if process.poll() is not None else ''
                raise RuntimeError(f'freeradius did not start: {said}{log.read_text() if log.exists() else ""}')
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
