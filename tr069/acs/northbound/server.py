"""The northbound HTTP API: bearer token, JSON, described by `/openapi.json`."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote

from pydantic import ValidationError

from tr069.acs import desired as d
from tr069.acs import tasks
from tr069.acs.cpe.connection_request import Caller
from tr069.acs.cpe.identities import Identities
from tr069.acs.http import HttpRequest, HttpResponse, HttpServer, Limits
from tr069.acs.metrics import Metrics
from tr069.acs.northbound import api
from tr069.acs.northbound.openapi import Call, Route, describe
from tr069.acs.settings import Northbound
from tr069.acs.store.records import DesiredRecord, DeviceRecord, TaskRecord, TaskState
from tr069.acs.store.store import Store
from tr069.client import ConnectionRequest, DeviceQuery, ProfileStatus, ProvisioningState, ValueProfile
from tr069.cwmp.messages import ParameterValue

_JSON = ('Content-Type', 'application/json')
_MAX_PAGE = 1000
_NOT_COMING = (ConnectionRequest.UNREACHABLE, ConnectionRequest.REFUSED)
_LEVERS_ASKED_S = 7 * 24 * 3600.0  # how long a tree that was asked for waits for its device


class _HttpError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NorthboundServer:
    def __init__(
        self,
        settings: Northbound,
        token: str,
        store: Store,
        caller: Caller,
        metrics: Metrics,
        identities: Identities,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._token = token.encode()
        self._store = store
        self._caller = caller
        self._metrics = metrics
        self._identities = identities
        self._clock = clock
        self.routes = self._make_routes()
        self._patterns = [(route, route.pattern) for route in self.routes]
        self._http = HttpServer(self.handle, Limits(settings.max_body, 60, 120, 500), admit=self.admit)

    async def start(self, context: ssl.SSLContext | None = None) -> int:
        return await self._http.start(self._settings.host, self._settings.port, context)

    async def stop(self) -> None:
        await self._http.stop()

    def _make_routes(self) -> tuple[Route, ...]:
        queries = ('serial', 'oui', 'product_class', 'software_version', 'ids', 'after', 'limit')
        wait = ('timeout_s', 'max_age_s')
        return (
            Route('GET', '/healthz', 'Is it alive, and its database?', self._health, api.Health, open=True),
            Route('GET', '/openapi.json', 'This description', self._openapi, None, open=True),
            Route('GET', '/metrics', 'Prometheus metrics', self._render_metrics, None),
            Route('GET', '/v1/devices', 'Find devices, a page at a time', self._find, api.DevicePage, query=queries),
            Route('GET', '/v1/devices/{device_id}', 'One device', self._device, api.DeviceOut),
            Route('POST', '/v1/devices/{device_id}/read', 'Read it freshly', self._read, api.TaskOut, api.Read),
            Route('GET', '/v1/devices/{device_id}/levers', 'Its levers', self._levers, api.LeversOut, query=wait),
            Route('POST', '/v1/devices/{device_id}/tasks', 'One RPC, once', self._task, api.TaskOut, api.Task),
            Route('GET', '/v1/tasks/{task_id}', 'What came of a task', self._get_task, api.TaskOut),
            Route('POST', '/v1/apply', 'Values for many devices', self._apply, api.StatusList, api.Apply),
            Route('POST', '/v1/restore', 'Put back what was there', self._restore, api.StatusList, api.Devices),
            Route('POST', '/v1/status', 'How far they are', self._status, api.StatusList, api.Devices),
            Route('POST', '/v1/connection-requests', 'Connection requests, paced', self._request_connections,
                  api.ConnectionRequestsOut, api.Devices),
            Route('GET', '/v1/quarantine', 'Models in quarantine', self._quarantine, api.QuarantineList),
            Route('POST', '/v1/quarantine/release', 'Let a model go', self._release, api.QuarantineList, api.Model),
        )  # fmt: skip

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def admit(self, request: HttpRequest) -> HttpResponse | None:
        """Judge a request by its head: the body of one without the token is not kept."""
        path = request.path
        found = [route for route, pattern in self._patterns if pattern.fullmatch(path)]
        if not found:
            return _error(404, f'there is no {path[:200]}; see /openapi.json')
        route = next((route for route in found if route.method == request.method), None)
        if route is None:
            return _error(405, f'{request.method} is not for {path[:200]}')
        if not route.open and not self._is_authorized(request.headers.get('authorization', '')):
            return _error(401, 'a bearer token is needed', ('WWW-Authenticate', 'Bearer'))
        return None

    def handle(self, request: HttpRequest) -> Awaitable[HttpResponse]:
        for route, pattern in self._patterns:
            match = pattern.fullmatch(request.path) if route.method == request.method else None
            if match is not None:
                break
        else:
            raise LookupError(request.path)  # only what was admitted comes here
        return self._run(route, {name: unquote(value) for name, value in match.groupdict().items()}, request)

    def _is_authorized(self, header: str) -> bool:
        scheme, _, token = header.partition(' ')
        return scheme.lower() == 'bearer' and hmac.compare_digest(token.strip().encode(), self._token)

    async def _run(self, route: Route, path: dict[str, str], request: HttpRequest) -> HttpResponse:
        query = {name: values[0] for name, values in parse_qs(request.target.partition('?')[2]).items()}
        try:
            body = route.body.model_validate_json(request.body) if route.body is not None else None
            answer = await route.action(Call(path, query, body))
        except ValidationError as error:
            problems = '; '.join(
                f'{".".join(str(part) for part in item["loc"]) or "body"}: {item["msg"]}' for item in error.errors()[:5]
            )
            return _error(422, problems)
        except (_HttpError, ValueError) as error:
            return _error(error.status if isinstance(error, _HttpError) else 422, str(error))
        if isinstance(answer, bytes):
            kind = 'application/json' if route.template.endswith('.json') else 'text/plain; version=0.0.4'
            return HttpResponse(200, answer, [('Content-Type', kind)])
        status = (
            202 if isinstance(answer, api.TaskOut) and answer.state in (TaskState.QUEUED, TaskState.SENDING) else 200
        )
        return HttpResponse(status, answer.model_dump_json().encode(), [_JSON])

    # --- the server itself --------------------------------------------------------------------------------------------

    async def _health(self, _call: Call) -> api.Health:
        return api.Health(status='ok', devices=await self._store.count_devices())

    async def refresh_metrics(self) -> None:
        self._metrics.devices.set(await self._store.count_devices())
        self._metrics.states.clear()
        for state, count in (await self._store.count_states()).items():
            self._metrics.states.labels(state).set(count)
        self._metrics.quarantined.set(len(self._store.quarantined))

    async def _render_metrics(self, _call: Call) -> bytes:
        await self.refresh_metrics()
        return self._metrics.render()

    async def _openapi(self, _call: Call) -> bytes:
        return json.dumps(describe(self.routes)).encode()

    # --- devices ------------------------------------------------------------------------------------------------------

    async def _find(self, call: Call) -> api.DevicePage:
        query = call.query
        wanted = DeviceQuery(
            tuple(item for item in query.get('ids', '').split(',') if item),
            query.get('serial', ''),
            query.get('oui', ''),
            query.get('product_class', ''),
            query.get('software_version', ''),
        )
        limit = max(1, min(int(query.get('limit', '200')), _MAX_PAGE))
        records = await self._store.find_devices(wanted, query.get('after', ''), limit)
        return api.DevicePage(
            devices=await self._devices_out(records), next=records[-1].id if len(records) == limit else ''
        )

    async def _record(self, device_id: str) -> DeviceRecord:
        record = (await self._store.get_devices([device_id])).get(device_id)
        if record is None:
            raise _HttpError(404, f'no device {device_id} has ever informed here')
        return record

    async def _devices_out(self, records: Sequence[DeviceRecord]) -> list[api.DeviceOut]:
        now = self._clock()
        conflicts = await self._store.conflicts_of([record.id for record in records], now)
        out = []
        for record in records:
            warning = self._identities.conflict(record.id, now) or conflicts.get(record.id, '')
            out.append(api.DeviceOut.model_validate(record._asdict() | {'warning': warning}))
        return out

    async def _device(self, call: Call) -> api.DeviceOut:
        (found,) = await self._devices_out([await self._record(call.path['device_id'])])
        return found

    async def _read(self, call: Call) -> api.TaskOut:
        record = await self._record(call.path['device_id'])
        body: api.Read = call.body
        request = {'method': tasks.READ, 'names': list(dict.fromkeys(body.names))}
        return _task_out(await self._ask(record, request, body.timeout_s, max(body.timeout_s, 1.0)))

    async def _levers(self, call: Call) -> api.LeversOut:
        """Freshly read; where the device does not come, what it said at most `max_age_s` ago under the same software.

        A caller who would take an older answer asks again later: the tree is then read at the device's next session.
        """
        record = await self._record(call.path['device_id'])
        timeout_s = min(_seconds(call, 'timeout_s', '60'), 300.0)
        max_age_s = _seconds(call, 'max_age_s', '0')
        now = self._clock()
        waiting = [
            item
            for item in self._store.tasks_of(record.id)
            if item.request == {'method': tasks.READ_TREE} and item.expires_at > now
        ]
        stays_s = max(timeout_s, 1.0, min(max_age_s, _LEVERS_ASKED_S))
        task = await self._ask(
            record, {'method': tasks.READ_TREE}, timeout_s, stays_s, queued=waiting[:1], patient=max_age_s <= 0
        )
        if task.state is TaskState.DONE:
            max_age_s = math.inf  # it has just been kept, by the session that read it
        record = await self._record(record.id)  # its software may have changed with that session
        known = await self._store.levers_of(record, self._clock() - max_age_s)
        if known is None:
            reason = task.answer.get('error', 'it did not come in time')
            raise _HttpError(504, f'{record.id} could not be read: {reason}')
        return api.LeversOut.model_validate_json(known)

    # --- tasks --------------------------------------------------------------------------------------------------------

    async def _task(self, call: Call) -> api.TaskOut:
        record = await self._record(call.path['device_id'])
        body: api.Task = call.body
        request = {'method': body.method, **body.arguments}
        if body.method not in (tasks.READ, tasks.READ_TREE):
            try:
                tasks.to_rpc(request)
            except (KeyError, TypeError, ValueError) as error:
                raise _HttpError(422, f'the arguments do not fit {body.method}: {error}') from error
        elif body.method == tasks.READ:
            api.Read.model_validate(body.arguments)
        wait_s = body.timeout_s if body.connection_request else 0.0
        return _task_out(
            await self._ask(record, request, wait_s, body.expires_s, connection_request=body.connection_request)
        )

    async def _get_task(self, call: Call) -> api.TaskOut:
        task = await self._store.get_task(call.path['task_id'])
        if task is None:
            raise _HttpError(404, 'there is no such task')
        return _task_out(task)

    async def _ask(
        self, record: DeviceRecord, request: dict[str, Any], wait_s: float, expires_s: float, *,
        connection_request: bool = True, queued: Sequence[TaskRecord] = (), patient: bool = True,
    ) -> TaskRecord:  # fmt: skip
        """Queue a task, unless one that waits already (`queued`) will do; call the device, and wait up to `wait_s`.

        Not `patient`: a device that could not be called is not waited for; it may still come by itself.
        """
        now = self._clock()
        if queued:
            task = queued[0]
        else:
            task = TaskRecord(str(uuid.uuid4()), record.id, request, now, now + expires_s)
            await self._store.add_task(task)
        call = self._caller.call_soon(record, 0) if connection_request else None
        deadline = time.monotonic() + wait_s
        pause = 0.02
        while time.monotonic() < deadline:
            await asyncio.sleep(min(pause, max(deadline - time.monotonic(), 0)))
            pause = min(pause * 1.5, 0.5)
            known = await self._store.get_task(task.id)
            if known is not None and known.state not in (TaskState.QUEUED, TaskState.SENDING):
                return known
            if not patient and call is not None and call.done() and call.result() in _NOT_COMING:
                break
        return task

    # --- profiles -----------------------------------------------------------------------------------------------------

    async def _apply(self, call: Call) -> api.StatusList:
        body: api.Apply = call.body
        values = tuple(ParameterValue(item.name, item.value, item.type) for item in body.values)
        profile = ValueProfile(body.profile, body.revision, values, body.note)
        now = self._clock()

        def decide(device_id: str, known: DesiredRecord | None) -> DesiredRecord:
            return d.ask(known, device_id, profile, now)

        ids = list(dict.fromkeys(body.device_ids))
        present = await self._store.get_devices(ids)
        records = await self._store.change_desired([item for item in ids if item in present], decide)
        return _status_list(ids, records)

    async def _restore(self, call: Call) -> api.StatusList:
        now = self._clock()

        def decide(_device_id: str, known: DesiredRecord | None) -> DesiredRecord | None:
            return d.ask_restore(known, now) if known is not None else None

        ids = list(dict.fromkeys(call.body.device_ids))
        records = await self._store.change_desired(ids, decide)
        return await self._with_unprovisioned(ids, records)

    async def _status(self, call: Call) -> api.StatusList:
        ids = list(dict.fromkeys(call.body.device_ids))
        records = await self._store.get_desired(ids)
        return await self._with_unprovisioned(ids, records)

    async def _with_unprovisioned(self, ids: Sequence[str], records: dict[str, DesiredRecord]) -> api.StatusList:
        """Those without a record are either known devices of whom nothing is asked, or not known at all."""
        missing = [item for item in ids if item not in records]
        present = await self._store.get_devices(missing) if missing else {}
        return _status_list(ids, records, frozenset(present))

    async def _request_connections(self, call: Call) -> api.ConnectionRequestsOut:
        ids = list(dict.fromkeys(call.body.device_ids))
        present = await self._store.get_devices(ids)
        called = await self._caller.call_many(list(present.values()))
        return api.ConnectionRequestsOut(
            connection_requests={item: str(called.get(item, ConnectionRequest.UNKNOWN_DEVICE)) for item in ids}
        )

    # --- quarantine ---------------------------------------------------------------------------------------------------

    async def _quarantine(self, _call: Call) -> api.QuarantineList:
        return api.QuarantineList(models=dict(self._store.quarantined))

    async def _release(self, call: Call) -> api.QuarantineList:
        if not await self._store.release_quarantine(call.body.model, self._clock()):
            raise _HttpError(404, f'model {call.body.model} is not in quarantine')
        return await self._quarantine(call)


def _seconds(call: Call, name: str, default: str) -> float:
    """A duration in the query. Raises `_HttpError` for what is none: `float()` also takes `nan`, `inf` and `-1`."""
    try:
        number = float(call.query.get(name, default))
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise _HttpError(422, f'{name}: give a number of seconds, 0 or more')
    return number


def _error(status: int, message: str, *headers: tuple[str, str]) -> HttpResponse:
    return HttpResponse(status, api.Error(error=message).model_dump_json().encode(), [_JSON, *headers])


def _task_out(task: TaskRecord) -> api.TaskOut:
    return api.TaskOut(id=task.id, device_id=task.device_id, state=str(task.state), answer=dict(task.answer))


def _status_list(
    ids: Sequence[str], records: dict[str, DesiredRecord], unprovisioned: frozenset[str] = frozenset()
) -> api.StatusList:
    nothing = ProfileStatus('', ProvisioningState.NONE)
    unknown = ProfileStatus('', ProvisioningState.UNKNOWN_DEVICE)
    found = [
        records[item].status
        if item in records
        else replace(nothing if item in unprovisioned else unknown, device_id=item)
        for item in ids
    ]
    return api.StatusList(statuses=[_status_out(item) for item in found])


def _values_out(values: Sequence[ParameterValue]) -> list[api.Value]:
    # These came through `api.Value`, or from a device that may say what it likes: not judged once more.
    return [api.Value.model_construct(name=item.name, value=item.value, type=item.type) for item in values]


def _status_out(status: ProfileStatus) -> api.StatusOut:
    return api.StatusOut(
        device_id=status.device_id,
        state=str(status.state),
        profile=status.profile,
        revision=status.revision,
        restoring=status.restoring,
        before=_values_out(status.before),
        message=status.message,
        note=status.note,
    )
