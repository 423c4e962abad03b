"""An SR OS console, classic CLI: `Press any key to continue`, `MINOR:` errors, and the MD-CLI command it refuses."""

from __future__ import annotations

import re

from tests.simulators.console import Session, Terminal

LINE = '=' * 79


class SROSTerminal(Terminal):
    banner = '\r\nTiMOS-C-23.10.R1 cpm/hops64 Nokia 7750 SR\r\n\r\n'
    more = 'Press any key to continue (Q to quit)'
    erase = '\r                                      \r'
    log = '35 2026/11/23 10:00:00.10 UTC MINOR: SVCMGR #2103 Base "Status of SAP changed"'
    paging_off = re.compile(r'environment no more$')
    service = 100

    def prompt(self) -> str:
        return f'*A:{self.box.called}# '

    def execute(self, line: str) -> list[str]:
        if line == 'environment more false':
            return ['                     ^', 'Error: Bad command.']
        if line == 'show system time':
            now = self.box.now().strftime('%Y/%m/%d %H:%M:%S')
            return [LINE, f'Current Date & Time : {now}', 'Current Zone        : UTC', LINE]
        if not self.box.may_look:
            return ['MINOR: CLI Command not allowed for this user.']
        if found := re.fullmatch(r'show service id (\d+) ppp session user-name (\S+) detail', line):
            return self.sessions(int(found[1]), found[2])
        if line == 'show service active-subscribers summary':
            count = len({session.username for session in self.box.sessions})
            return [LINE, 'Active Subscribers table summary', LINE, f'Total Count : {count}', LINE]
        if found := re.fullmatch(r'clear service id (\d+) ppp session user-name (\S+)', line):
            if not self.box.may_clear:
                return ['MINOR: CLI Command not allowed for this user.']
            self.box.clear(self.box.of(found[2]) if int(found[1]) == self.service else [])
            return []
        return ['       ^', 'Error: Bad command.']

    def sessions(self, service: int, username: str) -> list[str]:
        if service != self.service:
            return [f'MINOR: CLI Invalid service id "{service}".']
        found = self.box.of(username)
        body = [line for session in found for line in self.detail(session)] or ['No entries found']
        return [LINE, f'PPP sessions for service {service}', LINE, *body, f'Number of sessions  : {len(found)}', LINE]

    def detail(self, session: Session) -> list[str]:
        return [
            f'User-Name            : {session.username}',
            f'Description          : svc:{self.service} sap:[1/1/1:100.{session.number}] mac:02:00:00:00:00:01 sid:1',
            'Up Time              : 0d 00:10:00',
            *(f'Timer {number}              : 0' for number in range(20)),
            f'Subscriber           : "{session.username}"',
            'Sub-Profile-String   : "sub-default"',
            f'SLA-Profile-String   : "{session.policies[0] if session.policies else ""}"',
            f'Acct-Session-Id      : "{session.number:016X}"',
            f'IP Address           : {session.address}/32',
        ]
