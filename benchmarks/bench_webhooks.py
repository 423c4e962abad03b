"""How many signed events a second are stored, beside NetBox's own cheapest write and read; and a flood with payments.

    python -m benchmarks.bench_webhooks [--seconds 5] [--rounds 3] [--burst 2000] [--debts 10000] [--payments 200]

All is real but the routers: NetBox under gunicorn with two workers, PostgreSQL, Redis, two workers that restore.
Events, `POST /api/extras/tags/` and `GET /api/status/` take turns in one run. Then a burst in whose middle a web worker
is killed and Redis is emptied: whatever was answered with 2xx must be stored. Then a flood of debts with payments at
random among them: each payment's restore must be planned within seconds. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psycopg
from standardwebhooks import Webhook

from benchmarks.bench_restore import NO_CAPS, block
from dev.services import ROOT
from dev.stack import GUNICORN, QUEUES, Stack, stack, wait_until

DATABASE = 'netbox_bench_webhooks'
ROUTERS = tuple(f'bras-{number:02}' for number in range(1, 21))
CLIENTS = 4
VS_WRITE, VS_READ, STATEMENTS, FLOOD_S = 5.0, 1.0, 8, 5.0
WEBHOOK = '/api/plugins/delinquency/webhooks/demo/'


def say(text: str) -> None:
    sys.stdout.write(text + '\n')
    sys.stdout.flush()


@dataclass
class Tally:
    """Answers of one kind of request: how many, how long each took, and in how many seconds altogether."""

    seconds: list[float] = field(default_factory=list)
    elapsed: float = 0.0

    @property
    def per_s(self) -> float:
        return len(self.seconds) / self.elapsed if self.elapsed else 0.0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else float('inf')


class Client:
    """One connection, kept open; made anew where the server closed it."""

    def __init__(self, url: str) -> None:
        self.where = urlsplit(url).netloc
        self.connection = http.client.HTTPConnection(self.where, timeout=60)

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> int:
        """The status; 0 where there was no answer."""
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = http.client.HTTPConnection(self.where, timeout=60)
            return 0
        return answer.status


class Bench:
    def __init__(self, running: Stack) -> None:
        self.stack = running
        self.url = f'{running.env["DATABASE_URL"].rstrip("/")}/{DATABASE}'
        self.webhook = Webhook(running.signing_key)
        self.local = threading.local()

    def client(self) -> Client:
        if not hasattr(self.local, 'client'):
            self.local.client = Client(self.stack.url)
        return self.local.client  # type: ignore[no-any-return]

    def event(self, kind: str, contract: str, event_id: str = '', invoice: str = '1') -> tuple[bytes, dict[str, str]]:
        """Body and headers of a signed event."""
        now, event_id = datetime.now(tz=UTC), event_id or f'evt_{secrets.token_hex(8)}'
        data = {'contract': contract, 'invoice': f'{contract}/{invoice}'}
        if kind == 'invoice.overdue':
            data |= {'due_date': '2026-10-10', 'amount': '99.90'}
        body = json.dumps({'type': kind, 'timestamp': now.isoformat(), 'data': data})
        headers = {
            'content-type': 'application/json', 'webhook-id': event_id,
            'webhook-timestamp': str(int(now.timestamp())),
            'webhook-signature': self.webhook.sign(event_id, now, body),
        }  # fmt: skip
        return body.encode(), headers

    def post_event(self, kind: str, contract: str, event_id: str = '', invoice: str = '1') -> int:
        return self.client().ask('POST', WEBHOOK, *self.event(kind, contract, event_id, invoice))

    def post_tag(self) -> int:
        name = secrets.token_hex(8)
        headers = {'content-type': 'application/json', 'authorization': self.authorization}
        body = json.dumps({'name': name, 'slug': name}).encode()
        return self.client().ask('POST', '/api/extras/tags/', body, headers)

    def get_status(self) -> int:
        return self.client().ask('GET', '/api/status/', None, {'authorization': self.authorization})

    @property
    def authorization(self) -> str:
        token = self.stack.token
        return f'Bearer {token}' if token.startswith('nbt_') else f'Token {token}'

    def turn(self, ask: Callable[[], int], seconds: float, tally: Tally) -> None:
        end = time.monotonic() + seconds

        def work() -> list[float]:
            took = []
            while (started := time.monotonic()) < end:
                status = ask()
                if not 200 <= status < 300:
                    raise RuntimeError(f'{ask}: answered {status}')
                took.append(time.monotonic() - started)
            return took

        began = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            for took in [pool.submit(work) for _ in range(CLIENTS)]:
                tally.seconds += took.result()
        tally.elapsed += time.monotonic() - began

    def rates(self, seconds: float, rounds: int) -> tuple[Tally, Tally, Tally]:
        """Events, tag writes and status reads, in turns."""
        events, tags, status = Tally(), Tally(), Tally()

        def event() -> int:
            # Of an invoice that no line is blocked for later: paid is paid.
            return self.post_event('invoice.paid', f'C-{random.choice(ROUTERS)}-1', invoice='rate')

        for ask, tally in ((event, Tally()), (self.post_tag, Tally()), (self.get_status, Tally())):
            self.turn(ask, 1, tally)  # warm
        for _ in range(rounds):
            self.turn(event, seconds, events)
            self.turn(self.post_tag, seconds, tags)
            self.turn(self.get_status, seconds, status)
        return events, tags, status

    def statements(self) -> int:
        """SQL statements of one post, counted within a web process of its own."""
        done = subprocess.run(
            [sys.executable, '-m', 'benchmarks.webhook_statements', self.stack.signing_key],
            env=self.stack.env, cwd=ROOT, text=True, capture_output=True, check=True,
        )  # fmt: skip
        return int(done.stdout.split()[-1])

    def lost(self, burst: int) -> int:
        """Post a burst; kill a web worker and empty Redis within it. How many that were answered are not stored."""
        answered: list[str] = []
        disturb = {burst // 3: self.kill_web_worker, 2 * burst // 3: self.stack.redis.flush}

        def post(number: int) -> None:
            if number in disturb:
                disturb[number]()
            event_id = f'burst-{number}'
            # What is sent again is the same body: another one under the same ID is a conflict.
            event = self.event('invoice.overdue', 'C-nobody', event_id)
            for _ in range(50):
                if 200 <= self.client().ask('POST', WEBHOOK, *event) < 300:
                    answered.append(event_id)
                    return
                time.sleep(0.1)

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(post, range(burst)))
        with psycopg.connect(self.url) as connection:
            sql = "SELECT event_id FROM netbox_delinquency_billingevent WHERE event_id LIKE 'burst-%'"
            stored = {row[0] for row in connection.execute(sql)}
        say(f'burst: {len(answered)} of {burst} answered with 2xx, {len(stored)} stored')
        return len(set(answered) - stored) + burst - len(answered)

    def kill_web_worker(self) -> None:
        """`kill -9` one of gunicorn's workers; its master starts another."""
        assert self.stack.web is not None
        master = self.stack.web.pid
        children = subprocess.run(['pgrep', '-P', str(master)], text=True, capture_output=True, check=True).stdout
        os.kill(int(children.split()[0]), signal.SIGKILL)

    def flood(self, debts: Sequence[str], paying: Sequence[str]) -> Tally:
        """Debts, and payments of blocked lines at random among them: from a payment's post to its planned restore."""
        self.stack.configure(**NO_CAPS, soak_seconds=0, waves='rest')
        run = block(self.stack, paying, 'Lines that will be paid for')
        ended = f"SELECT status IN ('completed', 'failed') FROM netbox_delinquency_enforcementrun WHERE id = {run}"
        wait_until('the lines are blocked', lambda: self.stack.sql(ended).strip() == 't', 300, 0.5)
        posts = [('invoice.overdue', number) for number in debts] + [('invoice.paid', number) for number in paying]
        random.Random(1).shuffle(posts)
        paid_at: dict[str, float] = {}

        def post(kind_and_number: tuple[str, str]) -> None:
            kind, number = kind_and_number
            if kind == 'invoice.paid':
                paid_at[f'C-{number}'] = time.time()
            if self.post_event(kind, f'C-{number}') != 200:
                raise RuntimeError(f'{kind} of {number} was not stored')

        started = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(post, posts))
        tally = Tally(elapsed=time.monotonic() - started)
        planned = wait_until('every payment is planned', lambda: self.planned(paid_at), 300, 0.5)
        tally.seconds = [planned[contract] - paid_at[contract] for contract in paid_at]
        return tally

    def planned(self, paid_at: dict[str, float]) -> dict[str, float]:
        """When the restore of each of these was planned; empty until all are."""
        sql = """
            SELECT contract.external_id, extract(epoch FROM min(run.created))
              FROM netbox_delinquency_enforcementchange change
              JOIN netbox_delinquency_enforcementrun run ON run.id = change.run_id AND run.kind = 'restore'
              JOIN netbox_delinquency_accessline line ON line.id = change.line_id
              JOIN netbox_delinquency_contract contract ON contract.id = line.contract_id
             WHERE contract.external_id = ANY(%s) GROUP BY 1
        """
        with psycopg.connect(self.url) as connection:
            found = {name: float(at) for name, at in connection.execute(sql, [list(paid_at)])}
        return found if len(found) == len(paid_at) else {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seconds', type=float, default=5.0, help='of each turn')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--burst', type=int, default=2_000)
    parser.add_argument('--debts', type=int, default=10_000)
    parser.add_argument('--payments', type=int, default=200)
    options = parser.parse_args()
    if (load := os.getloadavg()[0]) > 0.5:
        say(f'note: the load is {load:.1f}; figures are only good on a quiet machine')
    each = -(-(options.debts + options.payments) // len(ROUTERS))
    numbers = [f'{router}-{number}' for number in range(1, each + 1) for router in ROUTERS]
    with stack(DATABASE, with_lab=False, routers=ROUTERS, lines=each, latency=0.02, web=GUNICORN) as running:
        bench = Bench(running)
        for worker in list(running.workers):
            running.kill(worker)  # what the web server can do is measured without them
        events, tags, status = bench.rates(options.seconds, options.rounds)
        for name, tally in (('events', events), ('tag writes', tags), ('status reads', status)):
            say(f'{name}: {tally.per_s:.0f}/s p50={tally.percentile(0.5):.1f} p99={tally.percentile(0.99):.1f} ms')
        count = bench.statements()
        say(f'{count} SQL statements a post')
        lost = bench.lost(options.burst)
        for queue in (QUEUES[0], QUEUES[0], QUEUES[1]):
            running.start_worker(queue)
        waiting = "SELECT count(*) FROM netbox_delinquency_billingevent WHERE status = 'received'"
        wait_until('the inbox is empty', lambda: running.sql(waiting).strip() == '0', 600, 1)
        flood = bench.flood(numbers[options.payments :][: options.debts], numbers[: options.payments])
        sent = options.debts + options.payments
        say(f'flood: {sent} events in {flood.elapsed:.0f} s; planned p50={flood.percentile(0.5) / 1000:.2f} s')
    vs_write, vs_read = events.per_s / tags.per_s, events.per_s / status.per_s
    flood_p99 = flood.percentile(0.99) / 1000
    missed = [
        text
        for is_missed, text in (
            (vs_write < VS_WRITE, f'{vs_write:.2f} x the tag write < {VS_WRITE:g}'),
            (vs_read < VS_READ, f'{vs_read:.2f} x the status read < {VS_READ:g}'),
            (count > STATEMENTS, f'{count} statements > {STATEMENTS}'),
            (lost > 0, f'{lost} lost'),
            (flood_p99 > FLOOD_S, f'a payment in the flood was planned after {flood_p99:.1f} s > {FLOOD_S:g}'),
        )
        if is_missed
    ]
    for text in missed:
        say(f'missed: {text}')
    say(
        f'webhooks: per_s={events.per_s:.0f} p99_ms={events.percentile(0.99):.1f} vs_tag_write={vs_write:.2f} '
        f'vs_status={vs_read:.2f} sql={count} lost={lost} flood_p99_s={flood_p99:.2f}'
    )
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
