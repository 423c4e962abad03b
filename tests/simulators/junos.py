"""A Junos console: `{master}` above the prompt, `---(more)---`, nothing at all where no subscriber matches."""

from __future__ import annotations

import re

from tests.simulators.console import Session, Terminal


class JunosTerminal(Terminal):
    banner = '--- JUNOS 21.4R3 Kernel 64-bit\r\n\x1b[0m{master}\r\n'
    more = '---(more)---'
    log = 'Nov 23 10:00:00  bras-1 rpd[1234]: RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 10.0.0.1 changed state'
    paging_off = re.compile(r'set cli screen-length 0$')

    def prompt(self) -> str:
        return f'admin@{self.box.called}> ' if self.box.called != '-' else 'admin> '

    def execute(self, line: str) -> list[str]:
        return [*self._execute(line.strip()), '', '{master}']

    def _execute(self, line: str) -> list[str]:
        if line.startswith('set cli '):
            return ['Screen width set to 0'] if 'width' in line else ['Disabling complete-on-space']
        if line == 'show system uptime | no-more':
            return [self.box.now().strftime('Current time: %Y-%m-%d %H:%M:%S UTC'), 'Time Source:  NTP CLOCK']
        if found := re.fullmatch(r'show subscribers user-name (\S+) extensive \| no-more', line):
            if not self.box.may_look:
                return ['error: permission denied: subscribers']
            return [text for session in self.box.of(found[1]) for text in self.extensive(session)]
        if line == 'show subscribers summary | no-more' and self.box.may_look:
            count = len(self.box.sessions)
            states = ['Subscribers by State', f'   Active: {count}', f'   Total: {count}', '']
            return [*states, 'Subscribers by Client Type', f'   PPPoE: {count}', f'   Total: {count}']
        if found := re.fullmatch(r'clear network-access aaa subscriber username (\S+)', line):
            if not self.box.may_clear:
                return ['                ^', 'unknown command.']
            sessions = self.box.of(found[1])
            self.box.clear(sessions)
            return [] if sessions else ['error: subscriber not found']
        return ['       ^', 'syntax error, expecting <command>.']

    def extensive(self, session: Session) -> list[str]:
        filters = [name for name in session.policies if name.startswith('FF-')]
        services = [name for name in session.policies if not name.startswith('FF-')]
        return [
            'Type: PPPoE',
            f'User Name: {session.username}',
            f'IP Address: {session.address}',
            'IP Netmask: 255.255.255.255',
            'Logical System: default',
            'Routing Instance: default',
            f'Interface: pp0.{3221225472 + session.number}',
            'Dynamic Profile Name: PPPOE',
            'State: Active',
            f'Session ID: {session.number}',
            f'Service Sessions: {len(services)}',
            'Dynamic configuration:',
            *(f'  junos-input-filter: {name}' for name in filters),
            *(
                line
                for number, name in enumerate(services)
                for line in (
                    '',
                    f'   Service Session ID: {session.number + 1000 + number}',
                    f'   Service Session Name: {name}',
                    '   State: Active',
                )
            ),
        ]
