"""Cisco IOS-XR BNG (ASR 9000) over SSH: what a session has, and ending one session; the companion of CoA.

A session's policies are its services and its QoS policies in and out, as `show subscriber session … detail internal`
has them. It is ended by its own interface, which no other session has.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import ClassVar

from nornir_tasks.connections.ssh.shell import Prompt
from nornir_tasks.drivers.base import Abilities
from nornir_tasks.drivers.clock import clock_of
from nornir_tasks.drivers.consoles.base import ConsoleDriver
from nornir_tasks.drivers.consoles.session import ConsoleSession, NotSentError, require_shell_text

FIELD = re.compile(r'^\s*(Interface|User name|Account-Session Id|IPv4 Address|State):\s*(.*?)\s*$')
QOS = re.compile(r'\bsub-qos-policy-(?:in|out)\b.*?(?<!len)=\s*(\S+)')
SERVICE = re.compile(r'^\s*(?:Service\s+)?[Nn]ame\s*:\s*(\S+)')
STATUS = re.compile(r'^\s*Status\s*:\s*(\w+)')
NO_SESSION = re.compile(r'No (?:matching )?(?:subscriber )?sessions? (?:found|exist|match)', re.IGNORECASE)
INTERFACE = re.compile(r'[A-Z][A-Za-z-]*[0-9][0-9/]*(?:\.[0-9]+)*\.(?:pppoe|ip|lns)[0-9]+')
CLOCK = re.compile(r'(\d\d:\d\d:\d\d)(?:\.\d+)? (?:UTC|GMT) \w{3} (\w{3}) +(\d+) (\d{4})')


class CiscoIOSXRDriver(ConsoleDriver):
    """See the module. `connection` is an `SSHSession`."""

    name = 'cisco_iosxr'
    abilities = Abilities(throttle=False, block=False, stored=False, live=False, ipv6=True, check=True, clear=True)
    prompt: ClassVar[Prompt] = Prompt(
        # Racks are numbers, or letters where several chassis are one router (RP/B0/CB0/…).
        re.compile(r'RP/\w+/\w+/\w+:(?P<host>[^#\r\n]+)#'),
        # The log goes to terminals that ask for it; each release knows one of the two words that end it.
        setup=('terminal length 0', 'terminal width 0', 'terminal monitor disable', 'terminal no monitor'),
        more=re.compile(r'-{2,}More-{2,}'),
        noise=re.compile(r'\w+/\w+/\w+(?:/\w+)?:\s?(?:\d{4} )?[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d.*%[A-Z0-9_]+-'),
    )
    failure: ClassVar[re.Pattern[str]] = re.compile(r'^\s*% ?(?!No )')
    clock_command = 'show clock'
    count_command = 'show subscriber session all summary'
    # By state, in columns: PPPoE and both kinds of IP sessions.
    count: ClassVar[re.Pattern[str]] = re.compile(r'^\s*activated\s+(\d+(?:\s+\d+)*)\s*$', re.MULTILINE)
    clear_needs = 'a task group with "execute bng", such as: taskgroup bng-operator task execute bng'

    def show_command(self, username: str) -> str:
        return f'show subscriber session filter username {username} detail internal'

    def parse_sessions(self, answer: str) -> list[ConsoleSession]:
        if NO_SESSION.search(answer):
            return []
        require_shell_text(answer, re.compile(r'^\s*Interface:', re.MULTILINE))
        blocks: list[list[str]] = []
        for line in answer.split('\n'):
            if re.match(r'\s*Interface:', line):
                blocks.append([])
            if blocks:
                blocks[-1].append(line)
        return [_session(block) for block in blocks]

    def clear_commands(self, session: ConsoleSession) -> tuple[str, ...]:
        if not INTERFACE.fullmatch(session.handle):
            raise NotSentError(f'"{session.handle}" is not the interface of one session')
        return (f'clear subscriber session identifier interface {session.handle}',)

    def parse_clock(self, answer: str) -> datetime | None:
        found = CLOCK.search(answer)
        return clock_of(found[4], found[2], found[3], found[1]) if found else None


def _session(block: list[str]) -> ConsoleSession:
    fields: dict[str, str] = {}
    policies: list[str] = []
    in_services, service = False, ''
    for line in block:
        if found := FIELD.match(line):
            fields.setdefault(found[1], found[2])
        if found := QOS.search(line):
            policies.append(found[1].strip('"'))
        if re.match(r'\s*Services:', line):
            in_services = True
        elif in_services and (found := SERVICE.match(line)):
            service = found[1]
            policies.append(service)
        elif in_services and service and (found := STATUS.match(line)) and found[1] != 'Applied':
            policies.remove(service)
    if not fields.get('User name'):
        raise ValueError('a session without a user name')
    address = fields.get('IPv4 Address', '').split(',')[0]
    extra = {'session_id': fields.get('Account-Session Id', '')}
    return ConsoleSession(fields['User name'], fields['Interface'], address, tuple(dict.fromkeys(policies)), extra)
