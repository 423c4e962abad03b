"""NetBox's REST API as runbooks know it: points, lines, runs and their journal, kept as real state in one process.

It answers as the plugin does (pages, actions, 409 with a sentence), and refuses what the plugin refuses: rows of
another run, a journal of a run that was not begun, a hash that is not the plan's. The plugin's own tests hold the real
one to the same; this one is for what runs without Django.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from nornir_tasks.change import AccessState, Outcome, Reading
from nornir_tasks.engine.waves import Waves, assign_waves

BASE = '/api/plugins/delinquency/'
NORMAL = AccessState.normal().as_dict()
TOKEN = 'nbt_simulated.token'


class RefusedError(Exception):
    """Answered with its status and its sentence."""

    def __init__(self, text: str, status: int = 409) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class NetBoxSimulator:
    """The truth. `before_action` is called with run and action before each: a test's way to interfere."""

    url: str = ''
    points: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    devices: list[dict[str, Any]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)  # health
    requests: list[str] = field(default_factory=list)
    waves: str = '1, 1%, 10%, rest'
    cap: int = 1000
    soak_seconds: int = 0
    before_action: Callable[[dict[str, Any], str], None] = lambda run, action: None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add_point(self, name: str, port: int, host_key: str, **values: Any) -> None:
        self.points.append({
            'name': name, 'driver': 'routeros', 'host': '127.0.0.1', 'port': port, 'credential': 'core',
            'host_key': host_key, 'parameters': {}, 'timeout': 5, 'batch_size': 100, 'max_rows_per_second': None,
            'status': 'active',
        } | values)  # fmt: skip

    def add_line(self, point: str, username: str, parameters: dict[str, Any], **values: Any) -> dict[str, Any]:
        line = {
            'id': len(self.lines) + 1, 'point': point, 'intended': NORMAL, 'observed': NORMAL, 'baseline': {},
            'username': username, 'parameters': parameters,
        } | values  # fmt: skip
        self.lines.append(line)
        return line

    def want(self, state: AccessState, *usernames: str) -> None:
        """Policy now wants these lines so; without names, all."""
        for line in self.lines:
            if not usernames or line['username'] in usernames:
                line['intended'] = state.as_dict()

    def outcomes(self, pk: int) -> dict[str, str]:
        """By user name; '' for open rows."""
        return {self.line(row)['username']: row['outcome'] for row in self.changes if row['run'] == pk}

    def line(self, row: dict[str, Any]) -> dict[str, Any]:
        return self.lines[row['line'] - 1]

    # What REST gives

    def list(self, path: str, query: dict[str, list[str]]) -> list[dict[str, Any]] | dict[str, Any]:
        if found := re.fullmatch(r'runs/(\d+)/progress', path):
            return self.progress(self.run(int(found[1])))
        if found := re.fullmatch(r'runs/(\d+)/preview', path):
            return self.preview(self.run(int(found[1])))
        shown = {
            'enforcement-points': lambda: self.points,
            'access-lines': lambda: [self.show_line(line) for line in self.lines],
            'runs': lambda: [self.show_run(run) for run in self.runs],
            'changes': lambda: [self.show_change(row) for row in self.changes],
            'dcim/devices': lambda: self.devices,
        }[path]()
        return [row for row in shown if all(_fits(row, name, values) for name, values in query.items())]

    def show_line(self, line: dict[str, Any]) -> dict[str, Any]:
        return {
            'id': line['id'], 'target': self.target(line), 'point': {'name': line['point']}, 'bras': line['point'],
            'username': line['username'],
            'intended': line['intended'], 'observed': line['observed'],
            'drifting': line['intended'] != line['observed'],
        }  # fmt: skip

    @staticmethod
    def target(line: dict[str, Any]) -> dict[str, Any]:
        known = ('username', 'parameters', 'baseline')
        return {'key': str(line['id'])} | {name: line[name] for name in known}

    def show_run(self, run: dict[str, Any]) -> dict[str, Any]:
        return run | {'kind': {'value': run['kind']}, 'status': {'value': run['status']}}

    def show_change(self, row: dict[str, Any]) -> dict[str, Any]:
        line = self.line(row)
        return row | {
            'target': self.target(line), 'point': {'name': line['point']}, 'run_id': row['run'],
            'outcome': row['outcome'] and {'value': row['outcome']},
        }  # fmt: skip

    def progress(self, run: dict[str, Any]) -> dict[str, Any]:
        rows = self.rows(run)
        outcomes = Counter(row['outcome'] for row in rows if row['outcome'])
        return {
            'status': run['status'], 'wave': run['wave'], 'waves': max((row['wave'] for row in rows), default=0),
            'rows': len(rows), 'done': outcomes.total(), 'outcomes': dict(outcomes), 'rate_per_s': None,
            'eta_s': None, 'stop_reason': run['stop_reason'], 'soak_seconds': self.soak_seconds,
        }  # fmt: skip

    def preview(self, run: dict[str, Any]) -> dict[str, Any]:
        rows = self.rows(run)
        blocked = sum(row['desired']['mode'] == 'blocked' for row in rows)
        return {
            'rows': len(rows), 'waves': dict(Counter(str(row['wave']) for row in rows)),
            'refusals': [f'{len(rows)} rows are more than the cap of {self.cap}'] if len(rows) > self.cap else [],
            'warnings': [{'kind': 'block', 'rows': blocked, 'text': f'{blocked} homes are cut'}] if blocked else [],
        }  # fmt: skip

    # Actions

    def act(self, path: str, body: dict[str, Any]) -> Any:
        if path == 'runs/plan':
            return self.plan(body['name'], body['filters'])
        found = re.fullmatch(r'runs/(\d+)/(\w+)', path)
        if not found:
            raise RefusedError('not found', 404)
        run, action = self.run(int(found[1])), found[2]
        self.before_action(run, action)
        return getattr(self, f'do_{action}')(run, body)

    def plan(self, name: str, filters: dict[str, Any]) -> list[dict[str, Any]]:
        shown = self.list('access-lines', {key: _texts(value) for key, value in filters.items()})
        wanted = [self.lines[line['id'] - 1] for line in shown if line['drifting']]
        made = []
        for kind in ('restore', 'enforce'):
            rows = [
                {'line': line['id'], 'desired': line['intended'], 'exact': None}
                for line in wanted
                if (kind == 'restore') == (line['intended']['mode'] == 'normal')
            ]
            if rows:
                made.append(self.make_run(name or kind, kind, rows))
        return [self.show_run(run) for run in made]

    def make_run(self, name: str, kind: str, rows: list[dict[str, Any]], **values: Any) -> dict[str, Any]:
        by_point: dict[str, list[int]] = {}
        for row in rows:
            by_point.setdefault(self.line(row)['point'], []).append(row['line'])
        waves = {} if kind == 'restore' else assign_waves(by_point, Waves.parse(self.waves))
        run = {
            'id': len(self.runs) + 1, 'name': name, 'kind': kind, 'status': 'planned', 'wave': 0, 'stop_reason': '',
            'plan_hash': hashlib.sha256(json.dumps(rows).encode()).hexdigest(), 'reverts': None,
        } | values  # fmt: skip
        self.runs.append(run)
        for row in rows:
            self.changes.append(row | {
                'id': len(self.changes) + 1, 'run': run['id'], 'wave': waves.get(row['line'], 1), 'outcome': '',
                'message': '', 'before': None, 'after': None, 'sent': False, 'reason': '',
            })  # fmt: skip
        if kind == 'restore' and not run['reverts']:
            run['status'] = 'approved'
        return run

    def do_approve(self, run: dict[str, Any], body: dict[str, Any]) -> Any:
        if run['status'] != 'planned' or body['plan_hash'] != run['plan_hash']:
            raise RefusedError(f'run "{run["name"]}" is {run["status"]}, or these are not its rows')
        if refusals := self.preview(run)['refusals']:
            raise RefusedError(refusals[0])
        run['status'] = 'approved'
        return self.show_run(run)

    def do_begin(self, run: dict[str, Any], body: dict[str, Any]) -> Any:
        startable = ('approved', 'running', 'paused') if body.get('resume') else ('approved', 'running')
        if run['status'] not in startable:
            raise RefusedError(f'run "{run["name"]}" is {run["status"]}: only an approved one can be started')
        run['status'], run['stop_reason'] = 'running', ''
        return self.show_run(run)

    def do_claim(self, run: dict[str, Any], body: dict[str, Any]) -> Any:
        rows = self.open_rows(run, body['keys'])
        run['wave'] = max([run['wave'], *(row['wave'] for row in rows)])
        stop_reason = f'paused: {run["stop_reason"]}' if run['status'] == 'paused' else ''
        moved = {} if stop_reason else {
            str(row['id']): 'paid: policy now wants this line normal'
            for row in rows
            if row['desired'] != NORMAL and self.line(row)['intended'] == NORMAL
        }  # fmt: skip
        return {'refused': moved, 'busy': [], 'stop_reason': stop_reason}

    def do_sending(self, run: dict[str, Any], body: dict[str, Any]) -> Any:
        for row in self.open_rows(run, list(body['before'])):
            row['sent'], row['before'] = True, body['before'][str(row['id'])]
            Reading.from_dict(row['before'])
        return {'refused': {}}

    def do_unsent(self, run: dict[str, Any], body: dict[str, Any]) -> None:
        for row in self.open_rows(run, body['keys']):
            row['sent'], row['before'] = False, None

    def do_finished(self, run: dict[str, Any], body: dict[str, Any]) -> Any:
        by_key = {result['key']: result for result in body['results']}
        for row in self.open_rows(run, list(by_key)):
            result = by_key[str(row['id'])]
            row['outcome'], row['message'] = str(Outcome(result['outcome'])), result['message']
            row['after'] = result['after']
            line, after = self.line(row), Reading.from_dict(result['after'] or {'error': 'not read'})
            before = Reading.from_dict(row['before'] or result['before'] or {'error': 'not read'})
            if before.observed == AccessState.normal():
                line['baseline'] = dict(before.detail)
            if after.observed:
                line['observed'] = after.observed.as_dict()
        return self.show_run(run)

    def do_health(self, run: dict[str, Any], body: dict[str, Any]) -> None:
        self.seen.append(body)

    def do_finish(self, run: dict[str, Any], body: dict[str, Any]) -> Any:
        outcomes = {row['outcome'] for row in self.rows(run)}
        if run['status'] == 'running' and '' not in outcomes:
            run['status'] = 'failed' if outcomes & {'failed', 'partial', 'unknown'} else 'completed'
        elif run['status'] == 'running' and run['kind'] != 'restore':
            run['status'], run['stop_reason'] = 'paused', body.get('reason', 'rows are left open')
        return self.show_run(run)

    def do_revert(self, run: dict[str, Any], body: dict[str, Any]) -> Any:
        rows, left_out = [], []
        for row in self.rows(run):
            if not row['sent'] or row['id'] not in body.get('rows', [row['id']]):
                continue
            before, line = Reading.from_dict(row['before']), self.line(row)
            state = before.observed
            if state is None:
                left_out.append({'row': row['id'], 'line': line['username'], 'reason': 'it was not read before'})
            else:
                rows.append({'line': row['line'], 'desired': state.as_dict(), 'exact': dict(before.detail)})
        kind = 'restore' if all(row['desired'] == NORMAL for row in rows) else 'enforce'
        made = [self.make_run(f'Revert of {run["name"]}', kind, rows, reverts=run['id'])] if rows else []
        return {'runs': [self.show_run(one) for one in made], 'left_out': left_out}

    def run(self, pk: int) -> dict[str, Any]:
        if not 0 < pk <= len(self.runs):
            raise RefusedError('not found', 404)
        return self.runs[pk - 1]

    def rows(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        return [row for row in self.changes if row['run'] == run['id']]

    def open_rows(self, run: dict[str, Any], keys: list[str]) -> list[dict[str, Any]]:
        if run['status'] not in ('running', 'paused'):
            raise RefusedError(f'run "{run["name"]}" is {run["status"]}: begin it first')
        rows = {str(row['id']): row for row in self.rows(run) if not row['outcome']}
        if missing := [key for key in keys if key not in rows]:
            raise RefusedError(f'run "{run["name"]}" has no open rows {", ".join(missing)}')
        return [rows[key] for key in keys]


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _fits(row: dict[str, Any], name: str, values: list[str]) -> bool:
    if name in ('limit', 'offset', 'fields', 'start'):
        return True
    if name not in row:
        raise RefusedError(f'there are no such filters: {name}', 400)
    found = row[name]['value'] if isinstance(row[name], dict) else row[name]
    return str(found).lower() in [value.lower() for value in values]


class _Handler(BaseHTTPRequestHandler):
    simulator: NetBoxSimulator

    def do_GET(self) -> None:
        def answer(path: str) -> Any:
            query = parse_qs(urlsplit(self.path).query)
            found = self.simulator.list(path, query)
            if isinstance(found, dict):
                return found
            offset, limit = int(query.get('offset', ['0'])[0]), int(query.get('limit', ['50'])[0])
            page = found[offset : offset + limit]
            more = offset + limit < len(found)
            url = f'{self.simulator.url}{urlsplit(self.path).path}?limit={limit}&offset={offset + limit}'
            return {'count': len(found), 'next': url if more else None, 'results': page}

        self.answer(answer)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get('content-length', 0))) or '{}')
        self.answer(lambda path: self.simulator.act(path, body))

    def answer(self, made: Callable[[str], Any]) -> None:
        path = urlsplit(self.path).path.removeprefix(BASE).removeprefix('/api/').strip('/')
        self.simulator.requests.append(f'{self.command} {path}')
        status, body = 403, {'detail': 'Invalid token'}
        if self.headers.get('authorization') == f'Bearer {TOKEN}':
            try:
                with self.simulator.lock:
                    status, body = 200, made(path)
            except RefusedError as error:
                status, body = error.status, {'detail': str(error)}
        text = b'' if body is None else json.dumps(body).encode()
        self.send_response(204 if body is None else status)
        self.send_header('content-type', 'application/json')
        self.send_header('content-length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def netbox() -> Iterator[NetBoxSimulator]:
    """A NetBox that listens; `url` and `TOKEN` reach it."""
    simulator = NetBoxSimulator()
    server = ThreadingHTTPServer(('127.0.0.1', 0), type('Handler', (_Handler,), {'simulator': simulator}))
    simulator.url = f'http://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield simulator
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
