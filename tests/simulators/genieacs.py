"""A GenieACS NBI with state, and with the manners of the real one that trip up its clients.

Devices are `Cpe` objects, which know the truth; the stub keeps its own *cached* view of each, as GenieACS does, and
a session brings the two together: tasks first, then the provisions of the presets whose tag the device has.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.simulators.cpe import Cpe

_DECLARE = re.compile(r'declare\("([^"]+)", (\{value: (\w+)\}|null), \{value: (\[.*?\]|false)\}\)')
_COMMITS = 32  # `cwmp.maxCommitIterations`
_PASSING = {
    'session_terminated': 'The TR-069 session was unsuccessfully terminated',
    'script.Error': 'Extension timed out',
    'cwmp.9002': 'Internal error',
    'timeout': 'The TR-069 session timed out',
}
_TASKS = {'getParameterValues', 'setParameterValues', 'refreshObject', 'reboot', 'factoryReset'}


@dataclass
class Device:
    cpe: Cpe
    online: bool = True
    bad_credentials: bool = False
    tags: set[str] = field(default_factory=set)
    cached: dict[str, tuple[Any, str, bool, float]] = field(default_factory=dict)
    last_inform: float = 0.0
    rpcs: list[str] = field(default_factory=list)  # what was really sent to the device
    passing: list[str] = field(default_factory=list)  # codes with which its next sessions break off
    timeless: bool = False  # its tasks are refused by the NBI itself, with a 500


class GenieAcs:
    """`await start()`, then talk to `url`. `drops_reasons`: a proxy that loses reason phrases."""

    def __init__(self, *, token: str = '', preset_delay_s: float = 0.0, drops_reasons: bool = False) -> None:
        self.devices: dict[str, Device] = {}
        self.provisions: dict[str, str] = {}
        self.presets: dict[str, tuple[float, dict[str, Any]]] = {}  # without those of a stock installation
        self.tasks: dict[str, dict[str, Any]] = {}
        self.faults: dict[str, dict[str, Any]] = {}
        self.killed_by: list[Any] = []  # task names that would have killed the worker
        self.ignored_arrays = 0
        self.token = token
        self.preset_delay_s = preset_delay_s
        self.drops_reasons = drops_reasons
        self.requests: list[str] = []
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._ticks = itertools.count()

    def add(self, cpe: Cpe, **options: Any) -> Device:
        device = self.devices[cpe.id] = Device(cpe, **options)
        self._refresh(device, [cpe.root])
        device.last_inform = time.time()
        return device

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, '127.0.0.1', 0, limit=1 << 20)
        return f'http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}'

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    # --- sessions -----------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return time.time() + next(self._ticks) * 0.001  # timestamps that always move

    def _refresh(self, device: Device, roots: list[str]) -> None:
        now = self._now()
        for path in device.cpe.paths():
            if any(path == root or path.startswith(f'{root}.') for root in roots):
                value, kind, writable = device.cpe.node(path)
                parsed: Any = value
                if kind == 'xsd:boolean':
                    parsed = value in ('1', 'true')
                elif kind in ('xsd:int', 'xsd:unsignedInt'):
                    parsed = int(value or 0)
                device.cached[path] = (parsed, kind, writable, now)

    def _set(self, device: Device, pairs: list[tuple[str, Any]], channel: str) -> bool:
        """One SetParameterValues per 32 names; False where the device faulted."""
        due = []
        for path, value in pairs:
            known = device.cached.get(path)
            if known is None or not known[2]:
                continue  # absent or read-only: nothing is sent, and nobody is told
            text = str(value).lower() if isinstance(value, bool) else str(value)
            cached = str(known[0]).lower() if isinstance(known[0], bool) else str(known[0])
            if text != cached:  # equal to the *cache*: nothing is sent, whatever the device says
                due.append((path, text, known[1]))
        for start in range(0, len(due), 32):
            part = due[start : start + 32]
            structs = ''.join(
                f'<ParameterValueStruct><Name>{path}</Name><Value xsi:type="{kind}">{_literal(text, kind)}</Value>'
                '</ParameterValueStruct>'
                for path, text, kind in part
            )
            for _ in range(_COMMITS):
                device.rpcs.append('SetParameterValues')
                queued = device.cpe.faults.get('SetParameterValues')
                answer = device.cpe._fault(queued.pop(0)) if queued else device.cpe._do_SetParameterValues(structs)
                if re.findall(r'<FaultCode>(\d+)</FaultCode>', answer)[:1] != ['9005']:
                    break
                # A bare 9005 is recovered from: the path is forgotten, found again, and set again.
            else:
                self._record(device, channel, 'too_many_commits', 'Too many commit iterations')
                return False
            if 'FaultCode' in answer:
                self._fault(device, channel, answer)
                return False
            for path, text, kind in part:
                parsed: Any = text == 'true' if kind == 'xsd:boolean' else text
                device.cached[path] = (parsed, kind, True, self._now())
        return True

    def _fault(self, device: Device, channel: str, answer: str) -> None:
        codes = re.findall(r'<FaultCode>(\d+)</FaultCode>', answer)
        names = re.findall(r'<ParameterName>([^<]*)</ParameterName>', answer)
        details = [
            {'parameterName': name, 'faultCode': code, 'faultString': 'simulated'}
            for name, code in zip(names, codes[1:], strict=False)
        ]
        detail = {'faultCode': codes[0], 'faultString': 'simulated', 'setParameterValuesFault': details or None}
        self._record(device, channel, f'cwmp.{codes[0]}', 'simulated', detail=detail)

    def _record(self, device: Device, channel: str, code: str, message: str, **more: Any) -> None:
        self.faults[f'{device.cpe.id}:{channel}'] = {
            '_id': f'{device.cpe.id}:{channel}',
            'device': device.cpe.id,
            'channel': channel,
            'timestamp': _iso(self._now()),
            'code': code,
            'message': message,
            'retries': 0,
            **more,
        }

    def session(self, device_id: str) -> None:
        """The device comes: a connection request reached it, or it is its time."""
        device = self.devices[device_id]
        device.cpe._take_pending()
        device.last_inform = self._now()
        # After a reset nothing is read anew by itself: that is the stock preset "bootstrap", which may be gone.
        events = {code for code, _ in device.cpe.events}
        device.cpe.events = []
        if '0 BOOTSTRAP' in events and 'bootstrap' in self.presets:
            self._refresh(device, [device.cpe.root])
        due = [
            task_id
            for task_id, task in self.tasks.items()
            if task['device'] == device_id and f'{device_id}:task_{task_id}' not in self.faults
        ]
        if device.passing and (due or self._due(device, events)):
            code = device.passing.pop(0)
            channels = {f'task_{task_id}' for task_id in due} | {item['channel'] for item in self._due(device, events)}
            for channel in channels:
                self._record(device, channel, code, _PASSING[code])
            return
        for task_id in due:
            self._run_task(device, task_id, self.tasks[task_id])
        for _ in range(3):  # scripts run again until nothing changes
            for preset in self._due(device, events):
                if preset in self._due(device, events):
                    self._run_script(device, self.provisions[preset['configurations'][0]['name']], preset['channel'])

    def _due(self, device: Device, events: set[str]) -> list[dict[str, Any]]:
        """The presets that a session of the device has to do with."""
        found = []
        for stamp, preset in self.presets.values():
            tags = re.findall(r'Tags\.(\w+) IS (NOT )?NULL', preset.get('precondition', ''))
            fits = all((name in device.tags) == bool(wanted) for name, wanted in tags)
            fits = fits and all((code in events) == wanted for code, wanted in preset.get('events', {}).items())
            faulted = f'{device.cpe.id}:{preset["channel"]}' in self.faults
            if tags and fits and not faulted and time.monotonic() - stamp >= self.preset_delay_s:
                found.append(preset)
        return found

    def _run_task(self, device: Device, task_id: str, task: dict[str, Any]) -> None:
        channel = f'task_{task_id}'
        if task['name'] == 'getParameterValues':
            device.rpcs.append('GetParameterValues')
            self._refresh(device, [name for name in task['parameterNames'] if name in device.cached])
        elif task['name'] == 'refreshObject':
            device.rpcs.append('GetParameterValues')
            self._refresh(device, [task['objectName']])
        elif task['name'] == 'setParameterValues':
            pairs = [(item[0], item[1]) for item in task['parameterValues']]
            if not self._set(device, pairs, channel):
                return
        elif task['name'] == 'reboot':
            device.cpe.reboot('')
        elif task['name'] == 'factoryReset':
            device.cpe.factory_reset()
        del self.tasks[task_id]

    def _run_script(self, device: Device, script: str, channel: str) -> None:
        """What a provision does, as far as ours go: `declare` of values and of a tag."""
        found = [item for item in _DECLARE.findall(script) if not item[0].startswith('Tags.')]
        if 'Date.now();' in script:
            self._refresh(device, [item[0] for item in found])
        pairs = [(item[0], json.loads(item[3])[0]) for item in found]
        if not self._set(device, pairs, channel):
            return
        for name in re.findall(r'^declare\("Tags\.(\w+)", null, \{value: false\}\)', script, re.M):
            device.tags.discard(name)
        removal = re.search(r'if \(done\) declare\("Tags\.(\w+)"', script)
        if removal and all(_same(device, path, value) for path, value in pairs):
            device.tags.discard(removal.group(1))

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b'\r\n\r\n')).decode()
                length = re.search(r'(?i)content-length: (\d+)', head)
                body = await reader.readexactly(int(length.group(1))) if length else b''
                status, reason, answer = self._answer(head, body)
                text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                phrase = '' if self.drops_reasons else reason
                writer.write(f'HTTP/1.1 {status} {phrase}\r\nContent-Length: {len(text)}\r\n\r\n'.encode() + text)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, head: str, body: bytes) -> tuple[int, str, Any]:
        method, target, _ = head.split(' ', 2)
        self.requests.append(f'{method} {target}')
        if self.token and f'Bearer {self.token}' not in head:
            return 401, 'Unauthorized', 'no'
        parts = urlsplit(target)
        segments = parts.path.strip('/').split('/')
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if method == 'GET':
            return 200, 'OK', self._find(segments[0], query)
        name = unquote(segments[1])  # once, as the real one does
        if segments[0] == 'devices' and segments[2] == 'tasks':
            return self._on_task(name, body, query)
        if segments[0] == 'devices' and segments[2] == 'tags':
            if name not in self.devices:
                return 404, 'Not Found', 'No such device'
            (self.devices[name].tags.add if method == 'POST' else self.devices[name].tags.discard)(segments[3])
            return 200, 'OK', ''
        if segments[0] == 'provisions' and method == 'PUT':
            self.provisions[name] = body.decode()
            return 200, 'OK', ''
        if segments[0] == 'presets':
            if method == 'PUT':
                self.presets[name] = (time.monotonic(), json.loads(body))
            else:
                self.presets.pop(name, None)
            return 200, 'OK', ''
        if segments[0] == 'tasks' and method == 'DELETE':
            self.tasks.pop(name, None)
            return 200, 'OK', ''
        if segments[0] == 'faults' and method == 'DELETE':
            self.faults.pop(name, None)
            self.tasks.pop(name.partition(':task_')[2], None)
            return 200, 'OK', ''
        return 404, 'Not Found', '404 Not Found'

    def _find(self, collection: str, query: dict[str, str]) -> list[Any]:
        wanted = json.loads(query.get('query', '{}'))
        documents: list[dict[str, Any]]
        if collection == 'devices':
            assert query.get('projection'), 'a device without a projection is hundreds of kilobytes'
            documents = [self._document(device, query['projection'].split(',')) for device in self.devices.values()]
        elif collection == 'provisions':
            documents = [{'_id': name, 'script': script} for name, script in self.provisions.items()]
        else:
            presets = {name: {**preset, '_id': name} for name, (_, preset) in self.presets.items()}
            kept = {'faults': self.faults, 'tasks': self.tasks, 'presets': presets}
            documents = list(kept[collection].values())
        found = [item for item in documents if all(_fits(item, path, value) for path, value in wanted.items())]
        found.sort(key=lambda item: item['_id'])
        return found[: int(query['limit'])] if 'limit' in query else found

    def _document(self, device: Device, projection: list[str]) -> dict[str, Any]:
        cpe = device.cpe
        document: dict[str, Any] = {
            '_id': cpe.id,
            '_tags': sorted(device.tags),
            '_lastInform': _iso(device.last_inform),
            '_deviceId': {
                '_Manufacturer': cpe.manufacturer,
                '_OUI': cpe.oui,
                '_ProductClass': cpe.product_class,
                '_SerialNumber': cpe.serial,
            },
        }
        for path, (value, kind, writable, stamp) in device.cached.items():
            if not any(path == wanted or path.startswith(f'{wanted}.') for wanted in projection):
                continue
            node = document
            *parents, leaf = path.split('.')
            for part in parents:
                node = node.setdefault(part, {'_object': True})
            node[leaf] = {'_value': value, '_type': kind, '_writable': writable, '_timestamp': _iso(stamp)}
        return document

    def _on_task(self, device_id: str, body: bytes, query: dict[str, str]) -> tuple[int, str, Any]:
        device = self.devices.get(device_id)
        call = 'connection_request' in query
        if device is None:
            return 404, 'Not Found', 'No such device'
        if not body:
            if not device.online or device.bad_credentials:
                reason = 'Incorrect connection request credentials' if device.bad_credentials else 'Device is offline'
                return 504, reason, reason
            self.session(device_id)
            return 200, 'OK', ''
        task = json.loads(body)
        if isinstance(task, list):
            self.ignored_arrays += 1
            return 202, 'Accepted', {}
        if task.get('name') not in _TASKS:
            self.killed_by.append(task.get('name'))
            return 500, 'dead', ''
        if device.timeless:
            return 500, 'Internal Server Error', 'MongoServerError: simulated'
        task_id = f'{next(self._numbers):024x}'
        for known, other in list(self.tasks.items()):
            if task.get('uniqueKey') and (other['device'], other.get('uniqueKey')) == (device_id, task['uniqueKey']):
                del self.tasks[known]
        self.tasks[task_id] = {**task, '_id': task_id, 'device': device_id}
        answer = {'_id': task_id, **task}
        if not call:
            return 202, 'Accepted', answer
        if not device.online:
            return 202, 'Device is offline', answer
        self.session(device_id)
        if f'{device_id}:task_{task_id}' in self.faults:
            return 202, 'Task faulted', answer
        return 200, 'OK', answer


def _literal(text: str, kind: str) -> str:
    return {'true': '1', 'false': '0'}.get(text, text) if kind == 'xsd:boolean' else text


def _same(device: Device, path: str, value: Any) -> bool:
    known = device.cached.get(path)
    return known is not None and str(known[0]).lower() == str(value).lower()


def _iso(stamp: float) -> str:
    return datetime.fromtimestamp(stamp, UTC).isoformat(timespec='milliseconds').replace('+00:00', 'Z')


def _fits(document: dict[str, Any], path: str, wanted: Any) -> bool:
    node: Any = document
    for part in path.split('.'):
        node = node.get(part) if isinstance(node, dict) else None
    if isinstance(wanted, dict):
        return node > wanted.get('$gt', '') and node in wanted.get('$in', [node])
    return bool(node == wanted)
