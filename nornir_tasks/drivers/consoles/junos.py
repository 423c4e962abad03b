"""Juniper MX (Junos) over SSH: what a subscriber's session has, and ending it; the companion of CoA.

A session's policies are the complete activation strings of its services, such as `throttle(1m,1m)`, by which Junos
itself knows them, and its filters and traffic control profile. A session is ended by user name, after exactly one was
counted.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import ClassVar

from nornir_tasks.connections.ssh.shell import Prompt
from nornir_tasks.drivers.base import Abilities
from nornir_tasks.drivers.clock import clock_of
from nornir_tasks.drivers.consoles.base import ConsoleDriver
from nornir_tasks.drivers.consoles.session import ConsoleSession, check_username, require_shell_text

POLICY_FIELDS = (
    'Service Session Name',
    'junos-cos-traffic-control-profile',
    'junos-input-filter',
    'junos-output-filter',
)
EMPTY = re.compile(r'^\s*(?:Total subscribers\s*:\s*0\b.*|No subscribers? found.*)?$', re.DOTALL)
CLOCK = re.compile(r'Current time: (\d{4})-(\d\d)-(\d\d) (\d\d:\d\d:\d\d) (?:UTC|GMT)')


class JunosDriver(ConsoleDriver):
    """See the module. `connection` is an `SSHSession`."""

    name = 'junos'
    abilities = Abilities(throttle=False, block=False, stored=False, live=False, ipv6=True, check=True, clear=True)
    prompt: ClassVar[Prompt] = Prompt(
        # A router without a host name has no more than the login's.
        re.compile(r'(?P<host>[A-Za-z0-9._-]+(?:@[^@>#%\r\n]+)?)> ?'),
        setup=('set cli screen-length 0', 'set cli screen-width 0', 'set cli complete-on-space off'),
        more=re.compile(r'---\(more(?: \d+%)?\)---'),
        # Syslog to a user's terminal is configured on the box (`system syslog user`); no command of ours can end it.
        noise=re.compile(r'Message from syslogd@|[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d +\S+ [\w./-]+(?:\[\d+\])?: '),
    )
    failure: ClassVar[re.Pattern[str]] = re.compile(r'^\s*(?:error:|syntax error|unknown command|missing argument)')
    clock_command = 'show system uptime | no-more'
    count_command = 'show subscribers summary | no-more'
    count: ClassVar[re.Pattern[str]] = re.compile(r'^\s*Active:\s*(\d+)\s*$', re.MULTILINE)
    clear_needs = 'a login class with permissions [ view clear ]'

    def show_command(self, username: str) -> str:
        return f'show subscribers user-name {username} extensive | no-more'

    def parse_sessions(self, answer: str) -> list[ConsoleSession]:
        answer = '\n'.join(line for line in answer.split('\n') if not re.match(r'\s*\{\w+(?::\w+)*\}\s*$', line))
        if EMPTY.match(answer):
            return []  # Junos prints nothing at all where no subscriber matches
        require_shell_text(answer, re.compile(r'^Type:', re.MULTILINE))
        blocks: list[list[tuple[str, str]]] = []
        for line in answer.split('\n'):
            name, colon, value = line.strip().partition(':')
            if name == 'Type' and not line.startswith(' '):
                blocks.append([])
            if blocks and colon:
                blocks[-1].append((name, value.strip()))
        return [_session(block) for block in blocks if dict(block).get('User Name')]

    def clear_commands(self, session: ConsoleSession) -> tuple[str, ...]:
        return (f'clear network-access aaa subscriber username {check_username(session.username)}',)

    def parse_clock(self, answer: str) -> datetime | None:
        found = CLOCK.search(answer)
        return clock_of(found[1], found[2], found[3], found[4]) if found else None


def _session(block: list[tuple[str, str]]) -> ConsoleSession:
    fields: dict[str, str] = {}
    for name, value in block:
        fields.setdefault(name, value)
    policies = tuple(dict.fromkeys(value for name, value in block if name in POLICY_FIELDS and value))
    return ConsoleSession(fields['User Name'], fields.get('Session ID', ''), fields.get('IP Address', ''), policies)
