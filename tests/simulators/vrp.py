"""A Huawei BRAS console: views, `---- More ----`, `Error:` and `Info:`, and `cut access-user` in all its danger."""

from __future__ import annotations

import re

from tests.simulators.console import Session, Terminal

UNKNOWN = "Error: Unrecognized command found at '^' position."
RULE = ' ' + '-' * 78


class VRPTerminal(Terminal):
    banner = '\r\nInfo: The max number of VTY users is 21, the number of current VTY users online is 1.\r\n'
    more = '  ---- More ----'
    erase = '\x1b[16D                \x1b[16D'
    paging_off = re.compile(r'screen-length 0 temporary$')
    log = 'Nov 23 2026 10:00:00-03:00 bras-1 %%01IFNET/4/IF_STATE(l)[12]:Interface GigabitEthernet0/1/0 is DOWN.'
    monitor_off = re.compile(r'undo terminal monitor$')
    role = ''
    views: tuple[str, ...] = ()
    uncommitted = False

    def prompt(self) -> str:
        if not self.views:
            return f'{self.role}<{self.box.called}>'
        mark = '*' if self.uncommitted else '~'
        return f'{self.role}[{mark}{self.box.called}{"".join(self.views[1:])}]'

    def execute(self, line: str) -> list[str]:
        words = line.split()
        if words[:2] == ['display', 'access-user'] and not self.box.may_look:
            return ['Error: You do not have permission to run the command or the command is incomplete.']
        for pattern, method in COMMANDS:
            if found := re.fullmatch(pattern, line.strip()):
                return method(self, *found.groups())
        return ['        ^', UNKNOWN]

    def system_view(self) -> list[str]:
        self.views = ('system',)
        return ['Enter system view, return user view with return command.']

    def aaa(self) -> list[str]:
        if not self.views:
            return [UNKNOWN]
        self.views = ('system', '-aaa')
        return []

    def leave(self) -> list[str]:
        self.views = ()
        return []

    def commit(self) -> list[str]:
        self.uncommitted = False
        return []

    def show(self, username: str) -> list[str]:
        found = [item for item in self.box.sessions if item.username.lower() == username.lower()]
        if not found:
            return ['Info: No online user.']
        return [line for session in found for line in self.verbose(session)] + [RULE]

    def count(self) -> list[str]:
        return [f'  Total users                        : {len(self.box.sessions)}']

    def verbose(self, session: Session) -> list[str]:
        groups = set(self.box.local_groups.values()) | {name for name in self.box.profiles if name.startswith('ug-')}
        group = next((name for name in session.policies if name in groups), '-')
        profile = next((name for name in session.policies if name not in groups), '-')
        return [
            RULE,
            'Basic:',
            f'  User access index                  : {session.number}',
            '  State                              : Used',
            f'  User name                          : {session.username}',
            f'  Domain name                        : {session.username.partition("@")[2] or "-"}',
            '  User access interface              : GigabitEthernet0/1/0.100',
            f'  User IP address                    : {session.address}',
            '  User access type                   : PPPoE',
            'AAA:',
            f'  User-Group                         : {group}',
            'QoS:',
            f'  Inbound qos-profile-name           : {profile}(Radius)' if profile != '-' else
            '  Inbound qos-profile-name           : -',
            f'  Outbound qos-profile-name          : {profile}(Radius)' if profile != '-' else
            '  Outbound qos-profile-name          : -',
            *(f'  Statistic counter {number}               : 0' for number in range(20)),
        ]  # fmt: skip

    def show_local(self, username: str) -> list[str]:
        if username not in self.box.local_groups:
            return ['Error: The local user does not exist.']
        group = self.box.local_groups[username] or '-'
        return ['  The contents of local user:', '  State           : Active', f'  User-group      : {group}']

    def show_profile(self, name: str) -> list[str]:
        if name.lower() not in {item.lower() for item in self.box.profiles}:
            return [f'Error: The QoS profile {name} does not exist.']
        return [f'qos-profile: {name}', ' car cir 1000 pir 1000 inbound']

    def show_group(self, name: str) -> list[str]:
        return [f'  User-group-name : {name}'] if name in self.box.profiles else ['Info: No such user group.']

    def clock(self) -> list[str]:
        now = self.box.now()
        return [now.strftime('%Y-%m-%d %H:%M:%S'), now.strftime('%A'), 'Time Zone(UTC) : UTC']

    def cut_username(self, username: str) -> list[str]:
        return self._cut([item for item in self.box.sessions if item.username.lower() == username.lower()])

    def cut_domain(self, domain: str) -> list[str]:
        return self._cut([item for item in self.box.sessions if item.username.endswith(f'@{domain}')])

    def _cut(self, sessions: list[Session]) -> list[str]:
        if '-aaa' not in self.views:
            return ['  ^', UNKNOWN]
        if not self.box.may_clear:
            return ['Error: You do not have permission to run the command or the command is incomplete.']
        self.box.clear(sessions)
        return [] if sessions else ['Info: No online user.']

    def set_group(self, username: str, group: str) -> list[str]:
        if '-aaa' not in self.views:
            return [UNKNOWN]
        if group not in self.box.profiles:
            return ['Error: The user group does not exist.']
        self.box.local_groups[username] = group
        self.uncommitted = True
        return []

    def unset_group(self, username: str) -> list[str]:
        self.box.local_groups[username] = ''
        self.uncommitted = True
        return []


COMMANDS = (
    (r'screen-width \d+', lambda terminal: []),
    (r'system-view', VRPTerminal.system_view),
    (r'aaa', VRPTerminal.aaa),
    (r'return', VRPTerminal.leave),
    (r'commit', VRPTerminal.commit),
    (r'display access-user username (\S+) verbose', VRPTerminal.show),
    (r'display access-user \| include Total users', VRPTerminal.count),
    (r'display local-user username (\S+)', VRPTerminal.show_local),
    (r'display qos-profile configuration (\S+)', VRPTerminal.show_profile),
    (r'display user-group (\S+)', VRPTerminal.show_group),
    (r'display clock', VRPTerminal.clock),
    (r'cut access-user username (\S+) all', VRPTerminal.cut_username),
    (r'cut access-user domain (\S+)', VRPTerminal.cut_domain),
    (r'local-user (\S+) user-group (\S+)', VRPTerminal.set_group),
    (r'undo local-user (\S+) user-group', VRPTerminal.unset_group),
)
