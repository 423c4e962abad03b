"""Nokia 7750 SR (SR OS, classic and MD-CLI) over SSH: what a PPP session has, and ending it; the companion of CoA.

A session's policies are its SLA profile and its subscriber profile. It is found and ended by user name within one
service (IES or VPRN), after exactly one was counted.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import ClassVar, cast

from pydantic import Field

from nornir_tasks.connections.ssh.shell import Prompt
from nornir_tasks.drivers.base import Abilities
from nornir_tasks.drivers.clock import clock_of
from nornir_tasks.drivers.consoles.base import ConsoleDriver
from nornir_tasks.drivers.consoles.session import ConsolePoint, ConsoleSession, check_username, require_shell_text

FIELD = re.compile(r'^\s*([A-Za-z][\w. -]*?)\s*:\s*(.*?)\s*$')
POLICY_FIELDS = ('SLA-Profile-String', 'Sub-Profile-String')
COUNT = re.compile(r'(?:Number of sessions|No\. of sessions)\s*:\s*(\d+)', re.IGNORECASE)
NONE = re.compile(r'No (?:matching )?(?:entries|sessions)', re.IGNORECASE)
CLOCK = re.compile(r'Current Date & Time\s*:\s*(\d{4})/(\d\d)/(\d\d) (\d\d:\d\d:\d\d)')
ZONE = re.compile(r'Current Zone\s*:\s*(?:UTC|GMT)')


class SROSPoint(ConsolePoint):
    """Parameters of an SR OS router."""

    service_id: int = Field(ge=1, description='Number of the IES or VPRN service that the sessions are in')


class NokiaSROSDriver(ConsoleDriver):
    """See the module. `connection` is an `SSHSession`."""

    name = 'nokia_sros'
    abilities = Abilities(throttle=False, block=False, stored=False, live=False, ipv6=True, check=True, clear=True)
    prompt: ClassVar[Prompt] = Prompt(
        re.compile(r'[*!]?\(?[A-D]:(?P<host>[^#$>\r\n]+)(?:>[\w>-]+)?[#$] ?'),
        # The first is the classic CLI's, the second MD-CLI's; the other one refuses it, which does no harm.
        setup=('environment no more', 'environment more false'),
        more=re.compile(r'Press (?:any key to continue|Q to quit, Enter)'),
        # Only a log that was configured to go to this very session is printed there; none is asked for.
        noise=re.compile(r'\d+ \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d+ \S+ [A-Z]+: '),
    )
    failure: ClassVar[re.Pattern[str]] = re.compile(r'^\s*(?:Error:|(?:MINOR|MAJOR|CRITICAL): )')
    clock_command = 'show system time'
    count_command = 'show service active-subscribers summary'
    count: ClassVar[re.Pattern[str]] = re.compile(r'^\s*Total Count\s*:\s*(\d+)\s*$', re.MULTILINE)
    clear_needs = 'a profile that permits "clear service" and "show service"'

    class PointParameters(SROSPoint):
        """See `SROSPoint`."""

    @property
    def service(self) -> int:
        return cast(SROSPoint, self.parameters).service_id

    def show_command(self, username: str) -> str:
        return f'show service id {self.service} ppp session user-name {username} detail'

    def parse_sessions(self, answer: str) -> list[ConsoleSession]:
        count = COUNT.search(answer)
        if NONE.search(answer) or (count and count[1] == '0'):
            return []
        require_shell_text(answer, re.compile(r'^\s*User-Name\s*:', re.MULTILINE))
        blocks: list[dict[str, str]] = []
        pending: dict[str, str] = {}
        for line in answer.split('\n'):
            if not (found := FIELD.match(line)):
                continue
            if found[1] == 'User-Name':
                blocks.append(pending)
                pending = {}
            (blocks[-1] if blocks else pending).setdefault(found[1], found[2].strip('"'))
        if count and int(count[1]) != len(blocks):
            raise ValueError(f'{len(blocks)} sessions where the box counts {count[1]}')
        return [_session(fields) for fields in blocks]

    def clear_commands(self, session: ConsoleSession) -> tuple[str, ...]:
        return (f'clear service id {self.service} ppp session user-name {check_username(session.username)}',)

    def parse_clock(self, answer: str) -> datetime | None:
        found = CLOCK.search(answer)
        if not found or not ZONE.search(answer):
            return None
        return clock_of(found[1], found[2], found[3], found[4])


def _session(fields: dict[str, str]) -> ConsoleSession:
    policies = tuple(fields[name] for name in POLICY_FIELDS if fields.get(name) and not fields[name].startswith('('))
    return ConsoleSession(
        fields['User-Name'], fields.get('Acct-Session-Id', ''), fields.get('IP Address', '').split('/')[0], policies
    )
