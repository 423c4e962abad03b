"""GenieACS's northbound interface (NBI 1.2) as it is, with what it does to the careless kept away.

It has no authentication of its own: put a proxy with a bearer token or basic auth before it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import httpx

from tr069.cwmp.faults import Fault, SetFault
from tr069.errors import AcsError, AcsRefusedError, AcsUnreachableError, DeviceUnknownError

# Any other name makes the NBI worker throw and die (lib/nbi.ts passes it on unchecked).
TASK_NAMES = frozenset(
    (
        'getParameterValues',
        'setParameterValues',
        'refreshObject',
        'addObject',
        'deleteObject',
        'reboot',
        'factoryReset',
        'download',
    )
)
_IN_SESSION_RETRIES = 3


class TaskOutcome(StrEnum):
    DONE = 'done'  # the session ended without a fault: *not* "the value is set"
    QUEUED = 'queued'  # the device did not come; the task waits for it
    FAULTED = 'faulted'


@dataclass(frozen=True, slots=True)
class TaskResult:
    outcome: TaskOutcome
    task_id: str = ''
    fault: Fault | None = None
    message: str = ''


class Nbi:
    """Thin and typed: one method a resource. Raises the `AcsError` family where GenieACS itself fails."""

    def __init__(
        self,
        base_url: str,
        *,
        token: str = '',
        username: str = '',
        password: str = '',
        timeout_s: float = 30.0,
        verify: ssl.SSLContext | bool = True,
        in_session_wait_s: float = 2.0,
    ) -> None:
        headers = {'Authorization': f'Bearer {token}'} if token else {}
        auth = httpx.BasicAuth(username, password) if username else None
        self._base = base_url
        self._timeout = timeout_s
        self._in_session_wait_s = in_session_wait_s
        self._http = httpx.AsyncClient(base_url=base_url, headers=headers, auth=auth, timeout=timeout_s, verify=verify)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _request(
        self, method: str, path: str, *, content: bytes | None = None, query: Mapping[str, str] | None = None,
        wait_s: float = 0,
    ) -> httpx.Response:  # fmt: skip
        for attempt in range(_IN_SESSION_RETRIES):
            try:
                answer = await self._http.request(
                    method, path, content=content, params=query, timeout=self._timeout + wait_s
                )
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
                raise AcsUnreachableError(f'GenieACS at {self._base} did not answer: {reason}') from error
            # The device is in a session, which holds its lock: that passes.
            if answer.status_code != 503 or attempt == _IN_SESSION_RETRIES - 1:
                break
            await asyncio.sleep(self._in_session_wait_s)
        if answer.status_code in (401, 403):
            raise AcsRefusedError(f'the proxy before GenieACS at {self._base} refused the credential')
        return answer

    @staticmethod
    def _device_path(device_id: str, rest: str) -> str:
        # An id is itself percent-encoded, and NBI decodes once: `%2D` in it must travel as `%252D`.
        return f'/devices/{quote(device_id, safe="")}/{rest}'

    def _check(self, answer: httpx.Response, what: str) -> None:
        if answer.status_code == 404:
            raise DeviceUnknownError(f'GenieACS does not know {what}')
        if not answer.is_success:
            raise AcsError(
                f'GenieACS at {self._base} answered {answer.status_code} to {what}: {answer.text[:200] or "(empty)"}'
            )

    # --- reading ------------------------------------------------------------------------------------------------------

    async def find(
        self, collection: str, query: Mapping[str, Any], *, projection: Sequence[str] = (), limit: int = 0
    ) -> list[dict[str, Any]]:
        """Documents in the order of their ids. Devices are huge: always give a projection for them."""
        parameters = {'query': json.dumps(query), 'sort': '{"_id":1}'}
        if projection:
            parameters['projection'] = ','.join(projection)
        if limit:
            parameters['limit'] = str(limit)
        answer = await self._request('GET', f'/{collection}/', query=parameters)
        self._check(answer, collection)
        try:
            found = answer.json()
        except ValueError as error:
            raise AcsError(f'GenieACS at {self._base} answered no JSON for {collection}') from error
        if not isinstance(found, list):
            raise AcsError(f'GenieACS at {self._base} answered no list for {collection}')
        return found

    # --- tasks --------------------------------------------------------------------------------------------------------

    async def task(
        self, device_id: str, task: Mapping[str, Any], *, call: bool = True, timeout_ms: int = 4000
    ) -> TaskResult:
        """Queue one task and, with `call`, send a connection request and wait for the session's end.

        Raises `ValueError` for a task name GenieACS does not know, before anything is sent.
        """
        if not isinstance(task, Mapping) or task.get('name') not in TASK_NAMES:
            # An array would be answered 202 and never run; an unknown name kills the worker.
            raise ValueError(f'not a task of GenieACS: {task!r:.100}')
        query = {'connection_request': '', 'timeout': str(timeout_ms)} if call else None
        content = json.dumps(dict(task)).encode()
        # The session may last up to 120 s, and may wait 30 s for another to end.
        answer = await self._request(
            'POST', self._device_path(device_id, 'tasks'), content=content, query=query, wait_s=150
        )
        self._check(answer, device_id)
        try:
            task_id = str(answer.json().get('_id', ''))
        except ValueError:
            task_id = ''
        if answer.status_code == 200:
            return TaskResult(TaskOutcome.DONE, task_id)
        # A proxy may drop the reason phrase "Task faulted": look for the fault itself.
        fault = await self.fault(f'{device_id}:task_{task_id}') if task_id and call else None
        if fault is not None:
            return TaskResult(TaskOutcome.FAULTED, task_id, fault, str(fault))
        return TaskResult(TaskOutcome.QUEUED, task_id, message=answer.reason_phrase)

    async def call(self, device_id: str) -> tuple[bool, str]:
        """An empty-bodied connection request: whether the device took it, and what GenieACS says."""
        answer = await self._request(
            'POST', self._device_path(device_id, 'tasks'), content=b'', query={'connection_request': ''}, wait_s=30
        )
        if answer.status_code == 504:
            return False, answer.text or answer.reason_phrase
        self._check(answer, device_id)
        return True, ''

    async def delete_task(self, task_id: str) -> None:
        await self._request('DELETE', f'/tasks/{quote(task_id, safe="")}')

    async def fault(self, fault_id: str) -> Fault | None:
        found = await self.find('faults', {'_id': fault_id})
        return parse_fault(found[0]) if found else None

    async def delete_fault(self, fault_id: str) -> None:
        """Deletes the fault, and its task where it is a task's."""
        await self._request('DELETE', f'/faults/{quote(fault_id, safe=":")}')

    # --- tags, presets, provisions --------------------------------------------------------------------------------

    async def tag(self, device_id: str, tag: str) -> None:
        answer = await self._request('POST', self._device_path(device_id, f'tags/{tag}'))
        self._check(answer, device_id)

    async def untag(self, device_id: str, tag: str) -> None:
        answer = await self._request('DELETE', self._device_path(device_id, f'tags/{tag}'))
        self._check(answer, device_id)

    async def put_provision(self, name: str, script: str) -> None:
        answer = await self._request('PUT', f'/provisions/{name}', content=script.encode())
        self._check(answer, f'provision {name}')

    async def put_preset(
        self, name: str, *, tag: str, unless: str, provision: str, channel: str, event: str = ''
    ) -> None:
        """A preset that runs `provision` on every device with `tag` but without `unless`, in a channel of its own.

        With `event` only in sessions that bring it.

        A fault backs its whole channel off for 300 s and more: ours must not hold up the operator's presets.
        """
        preset: dict[str, Any] = {
            'weight': 0,
            'channel': channel,
            'precondition': f'Tags.{tag} IS NOT NULL AND Tags.{unless} IS NULL',
            'configurations': [{'type': 'provision', 'name': provision, 'args': None}],
        }
        if event:
            preset['events'] = {event: True}
        answer = await self._request('PUT', f'/presets/{name}', content=json.dumps(preset).encode())
        self._check(answer, f'preset {name}')

    async def delete_preset(self, name: str) -> None:
        await self._request('DELETE', f'/presets/{name}')


def parse_fault(document: Mapping[str, Any]) -> Fault:
    """A GenieACS fault document. Codes look like `cwmp.9003`, and the rest are GenieACS's own.

    A bare 9005 never shows: GenieACS forgets the path, finds it again and sets it again, until those are
    too many commits. What else is its own (a session that broke off, a script's error) passes, and reads as 9002.
    """
    code = str(document.get('code', ''))
    family, _, number = code.rpartition('.')
    message = str(document.get('message', ''))
    if code == 'too_many_commits':
        return Fault(9005, message or 'Too many commit iterations')
    if family != 'cwmp' or not number.isdigit():
        return Fault(9002, f'{code}: {message}'.strip(': '))
    detail = document.get('detail')
    details = detail.get('setParameterValuesFault') or [] if isinstance(detail, dict) else []
    return Fault(
        int(number),
        message,
        tuple(
            SetFault(str(item.get('parameterName', '')), _code(item.get('faultCode')), str(item.get('faultString', '')))
            for item in details
        ),
    )


def _code(value: Any) -> int:
    """The code of one parameter's fault: GenieACS hands on what the device wrote."""
    text = str(value)
    return int(text) if text.isdecimal() else 9003
