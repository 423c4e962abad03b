"""An IOS-XR BNG console: time stamps before every answer, ` --More-- `, `% Invalid input`."""

from __future__ import annotations

import re

from tests.simulators.console import Session, Terminal

INVALID = ['           ^', "% Invalid input detected at '^' marker."]


class IOSXRTerminal(Terminal):
    more = ' --More-- '
    erase = '\x08' * 10 + '          ' + '\x08' * 10
    log = 'RP/0/RSP0/CPU0:Nov 23 10:00:00.123 : ifmgr[214]: %PKT_INFRA-LINK-3-UPDOWN : Interface Bundle-Ether1 is Down'
    monitor_off = re.compile(r'terminal monitor disable$')
    node = 'RP/0/RSP0/CPU0:'
    paging_off = re.compile(r'terminal length 0$')

    def prompt(self) -> str:
        return f'{self.node}{self.box.called}#'

    def execute(self, line: str) -> list[str]:
        stamp = self.box.now().strftime('%a %b %d %H:%M:%S.123 UTC')
        return [stamp, *self._execute(line.strip())]

    def _execute(self, line: str) -> list[str]:
        if line == 'terminal width 0':
            return []
        if line == 'show clock':
            return [self.box.now().strftime('%H:%M:%S.123 UTC %a %b %d %Y')]
        if not self.box.may_look:
            return ['% This command is not authorized']
        if found := re.fullmatch(r'show subscriber session filter username (\S+) detail internal', line):
            sessions = self.box.of(found[1])
            return [text for item in sessions for text in self.detail(item)] or ['No matching sessions found']
        if line == 'show subscriber session all summary':
            return self.summary(len(self.box.sessions))
        if found := re.fullmatch(r'clear subscriber session identifier interface (\S+)', line):
            if not self.box.may_clear:
                return ['% This command is not authorized']
            sessions = [item for item in self.box.sessions if self.interface(item) == found[1]]
            self.box.clear(sessions)
            return []
        if line == 'clear subscriber session all':
            self.box.clear(list(self.box.sessions))
            return []
        return INVALID

    def summary(self, count: int) -> list[str]:
        return [
            'Session Summary Information for all nodes',
            '',
            '                PPPoE           IPSub           IPSub',
            '                                (DHCP)          (PKT)',
            '                ====            =====           =====',
            'Session Counts by State:',
            *(f'{state:<16}{number:<16}{0:<16}{0}' for state, number in (('initializing', 0), ('activated', count))),
            f'Total:          {count:<16}{0:<16}{0}',
        ]

    def interface(self, session: Session) -> str:
        return f'Bundle-Ether1.100.pppoe{session.number}'

    def detail(self, session: Session) -> list[str]:
        qos = [name for name in session.policies if name.startswith('PM')]
        services = [name for name in session.policies if not name.startswith('PM')]
        return [
            f'Interface:                {self.interface(session)}',
            'Circuit ID:               Unknown',
            'Type:                     PPPoE:PTA',
            'IPv4 State:               Up, Mon Nov 23 05:00:00 2026',
            f'IPv4 Address:             {session.address}, VRF: default',
            f'Account-Session Id:       {session.number:08x}',
            f'User name:                {session.username}',
            f'Formatted User name:      {session.username}',
            'Client User name:         unknown',
            f'Subscriber Label:         0x{session.number:08x}',
            'State:                    Activated, Mon Nov 23 05:00:00 2026',
            '',
            'Policy Executed:',
            '  event Session-Start match-first [at Mon Nov 23 05:00:00 2026]',
            'Last COA request received: unavailable',
            'User Profile received from AAA:',
            ' Attribute List: 0x500e4ba0',
            *(
                f'{number}:  sub-qos-policy-{way}  len= {len(name)}  value= {name}'
                for name in qos
                for number, way in enumerate(('in', 'out'), 1)
            ),
            'Services:',
            *(
                line
                for name in services
                for line in (f'  Name        : {name}', '  Type        : Template', '  Status      : Applied')
            ),
            '[Event History]',
            *(f'   Nov 23 05:00:00.{number:03}    IPv4 Start' for number in range(20)),
        ]
