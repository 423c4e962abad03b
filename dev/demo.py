"""The main job, end to end on real programs: overdue notices throttle and block real lines, payments restore them.

Billing posts signed webhooks, policy makes intended states, runs are planned, approved and processed by real
workers. What is printed is measured: Mbit/s by iperf3 in the homes, states read from the simulated routers themselves.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console
from rich.table import Table

from dev.lab import Lab
from dev.stack import ROUTERS, SUBSCRIBERS, Stack, stack, wait_until

# Days since the due date, by the demo's ladder (15 throttle, 30 block); the rest of the subscribers owe nothing.
DAYS = {'throttled': 20, 'blocked': 40}
OVERDUE = 10  # subscribers a router, of SUBSCRIBERS
THROTTLED_MBPS = 2.0
console = Console(soft_wrap=True)
STARTED = time.monotonic()


def tell(text: str) -> None:
    console.print(f'[dim]{time.monotonic() - STARTED:5.1f} s[/dim]  {text}')


class Demo:
    def __init__(self, running: Stack) -> None:
        self.stack = running
        self.wrong: list[str] = []
        self.homes: dict[str, dict[str, str]] = {home.name: {} for home in running.lab.homes} if running.lab else {}
        self.routers: dict[str, dict[str, str]] = {name: {} for name in ROUTERS}
        self.restore_s = 0.0

    def run(self) -> None:
        tell(f'NetBox answers at {self.stack.url}')
        self.look('before', 'normal')
        for phase, days in DAYS.items():
            self.fall_due(days)
            self.enforce(phase)
            self.look(phase, phase)
        self.pay()
        self.look('restored', 'normal')

    @property
    def contracts(self) -> list[str]:
        """The contracts that fall due: every home, and some of each router."""
        return [
            *(f'C-{home}' for home in self.homes),
            *(f'C-{router}-{number}' for router in ROUTERS for number in range(1, OVERDUE + 1)),
        ]

    def fall_due(self, days: int) -> None:
        tell(f'billing: {len(self.contracts)} invoices are {days} days overdue')
        self.stack.fall_due(self.contracts, days)
        self.check_inbox()

    def check_inbox(self) -> None:
        self.check('no event failed', not self.stack.get('billing-events', status=['failed', 'unmatched']))

    def enforce(self, phase: str) -> None:
        pk, plan_hash = self.stack.plan(f'Demo: {phase}')
        tell(f'engineer: run {pk} planned ({phase}), approved and started')
        ended = self.stack.run_to_end(pk, plan_hash)
        outcomes = {row['outcome']['value'] for row in self.stack.get('changes', run_id=pk)}
        self.check(f'run {pk} is completed, all rows applied', (ended, outcomes) == ('completed', {'applied'}))

    def pay(self) -> None:
        tell(f'billing: {len(self.contracts)} payments')
        lab = self.stack.lab
        for home in lab.homes if lab else ():
            started = time.monotonic()
            self.stack.post_event('invoice.paid', f'C-{home.name}').raise_for_status()
            wait_until(f'{home.name} is back', lambda home=home: self.browses(lab, home), 30, 0.02)
            self.restore_s = max(self.restore_s, time.monotonic() - started)
        routers = self.contracts[len(self.homes) :]
        for contract in (contract for contract in routers if contract.endswith('-1')):
            router, user = contract.removeprefix('C-').rsplit('-', 1)
            started = time.monotonic()
            self.stack.post_event('invoice.paid', contract).raise_for_status()
            wait_until(f'{contract} is back', lambda r=router, u=user: self.is_normal(r, u), 30, 0.02)
            self.restore_s = max(self.restore_s, time.monotonic() - started)
        self.stack.post_events('invoice.paid', [contract for contract in routers if not contract.endswith('-1')])
        self.stack.wait_for_inbox()
        self.check_inbox()
        wait_until('every line is back', lambda: not self.stack.get('access-lines', drifting='true'), 60, 0.2)

    @staticmethod
    def browses(lab: Lab, home) -> bool:
        return lab.fetch(home, lab.internet_url, timeout=0.5)[1] == 'the internet\n'

    def is_normal(self, router: str, number: str) -> bool:
        return state_of(self.stack.services(router)[f'{router}-user{number}']) == 'normal'

    # Measuring

    def look(self, phase: str, expected: str) -> None:
        """Measure everything, keep it for the table, and note whatever is not as it must be."""
        lab = self.stack.lab
        if lab:
            with ThreadPoolExecutor(len(lab.homes)) as pool:
                speeds = dict(zip(lab.homes, pool.map(lab.measure, lab.homes), strict=True))
            for home, mbps in speeds.items():
                cell = f'{mbps:.1f}'
                low, high = {'normal': (30, 42), 'throttled': (THROTTLED_MBPS * 0.6, THROTTLED_MBPS * 1.1)}.get(
                    expected, (0, 0)
                )
                self.check(f'{home.name} {phase}: {mbps:.1f} Mbit/s', low <= mbps <= high)
                if expected == 'blocked':
                    sees_notice = lab.reaches_notice(home, lab.internet_url)
                    self.check(f'{home.name} sees the notice page', sees_notice)
                    cell += ', notice page' if sees_notice else ', NO notice page'
                self.homes[home.name][phase] = cell
        for router in ROUTERS:
            states = [state_of(service) for service in self.stack.services(router).values()]
            counts = {state: states.count(state) for state in ('normal', 'throttled', 'blocked', 'mixed')}
            wanted = {'normal': SUBSCRIBERS, 'throttled': 0, 'blocked': 0, 'mixed': 0}
            if expected != 'normal':
                wanted |= {'normal': SUBSCRIBERS - OVERDUE, expected: OVERDUE}
            self.check(f'{router} {phase}: {counts}', counts == wanted)
            self.routers[router][phase] = ', '.join(f'{count} {state}' for state, count in counts.items() if count)

    def check(self, what: str, is_right: bool) -> None:
        if not is_right:
            self.wrong.append(what)

    def show(self) -> None:
        for title, rows in (
            ('homes: Mbit/s down, by iperf3', self.homes),
            ('routers: by their own state', self.routers),
        ):
            phases = ('before', 'throttled', 'blocked', 'restored')
            table = Table('', *phases, title=title)
            for name, cells in rows.items():
                table.add_row(name, *(cells.get(phase, '–') for phase in phases))
            if rows:
                console.print(table)
        for what in self.wrong:
            console.print(f'[red]wrong: {what}[/red]')


def state_of(service: dict) -> str:
    """One word for what a subscriber gets; `mixed` where the session and its stored policy disagree."""
    words = set()
    for part in (service['stored'], service['live']):
        if part is None:
            words.add('offline')
        elif part['blocked']:
            words.add('blocked')
        else:
            words.add({(100_000, 50_000): 'normal', (1_000, 500): 'throttled'}.get(tuple(part['rate'] or ()), 'other'))
    return words.pop() if len(words) == 1 else 'mixed'


def demo() -> int:
    """Run it; 0 only where every figure is right."""
    with stack('netbox_demo', warm=True) as running:
        if running.lab is None:
            tell(f'left out: the homes behind a real Linux BRAS ({Lab.available()})')
        story = Demo(running)
        try:
            story.run()
        finally:
            story.show()
    homes, lines = len(story.homes), len(story.homes) + len(ROUTERS) * SUBSCRIBERS
    verdict = 'ok' if not story.wrong else 'WRONG'
    tell('ended')
    print(f'demo: {verdict} homes={homes} routers={len(ROUTERS)} lines={lines} restore_s={story.restore_s:.2f}')
    return 1 if story.wrong else 0
