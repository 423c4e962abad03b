"""What `make serve` opens on: a provider's morning, in which something of everything is found.

It comes about as it would: billing posts signed events, people plan, approve and start over REST, real workers change
the simulated routers, and one router refuses one subscriber.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import requests

from dev.services import say
from dev.stack import Stack

GRACE, THROTTLED, BLOCKED = 5, 20, 40  # days overdue, by the demo's ladder (15 throttle, 30 block)
REFUSED = 'bras-2-user7'


def contracts(router: str, numbers: Iterable[int]) -> list[str]:
    return [f'C-{router}-{number}' for number in numbers]


def tell(stack: Stack) -> None:
    """Have it happen. Raises `ServiceError` where something of it does not."""
    say('billing: debts in grace, at each stage, and an event that fits no contract')
    disputed, promised = contracts('bras-1', [1, 2])
    hold(stack, disputed, 'dispute', 'The subscriber says that the service was down', days=20)
    hold(stack, promised, 'promise_to_pay', 'Promised by telephone', days=3)
    stack.fall_due([*contracts('bras-1', range(11, 16)), *contracts('bras-3', range(1, 4))], GRACE)
    stack.fall_due([*contracts('bras-1', range(2, 7)), *contracts('bras-2', range(1, 6))], THROTTLED)
    stack.fall_due([disputed, *contracts('bras-1', range(7, 11)), *contracts('bras-2', range(6, 11))], BLOCKED)
    stack.post_event('invoice.overdue', 'C-unknown', due_date='2020-01-10', amount='10.00').raise_for_status()

    say('an engineer: plans, approves and starts; one router refuses one line')
    fault = {'action': 'error', 'match': f'name="{REFUSED}".*secret set', 'text': 'failure: not permitted'}
    control(stack, 'bras-2', faults=[fault])
    stack.run_to_end(*stack.plan('Monday'))
    control(stack, 'bras-2', faults=[])

    say('billing: two payments; then debts whose plan waits for approval')
    stack.post_events('invoice.paid', [*contracts('bras-1', [3, 7])])
    stack.wait_for_inbox()
    stack.fall_due(contracts('bras-4', range(1, 9)), THROTTLED)
    stack.plan('Tuesday')


def hold(stack: Stack, contract: str, kind: str, reason: str, days: int) -> None:
    """A hold from now on, as the administrator records it."""
    now = datetime.now().astimezone()
    body = {
        'contract': {'external_id': contract}, 'kind': kind, 'reason': reason,
        'starts_at': now.isoformat(), 'ends_at': (now + timedelta(days=days)).isoformat(),
    }  # fmt: skip
    stack.post('holds', body)


def control(stack: Stack, router: str, **settings: object) -> None:
    requests.post(f'{stack.control}/{router}/settings', json=settings, timeout=30).raise_for_status()
