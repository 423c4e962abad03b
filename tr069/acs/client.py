"""`AcsClient` for the embedded ACS, over its northbound API."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx

from tr069 import guard
from tr069.client import (
    EVERY_DEVICE,
    ConnectionRequest,
    CpeInfo,
    DeviceQuery,
    ParameterReading,
    ProfileStatus,
    ProvisioningState,
    ValueProfile,
)
from tr069.cwmp.messages import ParameterValue, as_values
from tr069.datamodel.profiles import Direction, Kind, Status, Unit
from tr069.datamodel.resolver import Lever, LeverReport
from tr069.errors import AcsError, AcsRefusedError, AcsUnreachableError, DeviceUnknownError

_BATCH = 5_000  # devices in one call
_PAGE = 500


class EmbeddedAcsClient:
    """`base_url` such as `https://acs.example:7557`; `token` is the northbound token. An async context manager."""

    def __init__(
        self, base_url: str, token: str, *, timeout_s: float = 30.0, verify: ssl.SSLContext | bool = True
    ) -> None:
        self._base = base_url
        self._timeout = timeout_s
        self._http = httpx.AsyncClient(
            base_url=base_url, headers={'Authorization': f'Bearer {token}'}, timeout=timeout_s, verify=verify
        )

    async def __aenter__(self) -> EmbeddedAcsClient:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _call(
        self, method: str, path: str, *, body: Any = None, query: Mapping[str, str] | None = None, wait_s: float = 0
    ) -> Any:
        try:
            answer = await self._http.request(method, path, json=body, params=query, timeout=self._timeout + wait_s)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise AcsUnreachableError(f'the ACS at {self._base} did not answer: {reason}') from error
        if answer.is_success:
            return answer.json()
        try:
            message = answer.json().get('error', '')
        except ValueError:
            message = answer.text[:200]
        if answer.status_code in (401, 403):
            raise AcsRefusedError(f'the ACS at {self._base} refused the token: {message}')
        if answer.status_code == 404 and path.startswith('/v1/devices/'):
            raise DeviceUnknownError(message)
        raise AcsError(f'the ACS at {self._base} answered {answer.status_code}: {message}')

    async def find(self, query: DeviceQuery = EVERY_DEVICE) -> AsyncIterator[CpeInfo]:
        fields = {
            name: value
            for name in ('serial', 'oui', 'product_class', 'software_version')
            if (value := getattr(query, name))
        }
        # Ids go into the URL, which has a limit.
        groups: list[tuple[str, ...]] = [()]
        if query.ids:
            groups = [query.ids[start : start + 50] for start in range(0, len(query.ids), 50)]
        for group in groups:
            after = ''
            while True:
                page = dict(fields, after=after, limit=str(_PAGE), **({'ids': ','.join(group)} if group else {}))
                answer = await self._call('GET', '/v1/devices', query=page)
                for item in answer['devices']:
                    yield _info(item)
                after = answer['next']
                if not after:
                    break

    async def read(self, device_id: str, names: Sequence[str], *, timeout_s: float = 30.0) -> ParameterReading:
        path = f'/v1/devices/{quote(device_id, safe="")}/read'
        task = await self._call('POST', path, body={'names': list(names), 'timeout_s': timeout_s}, wait_s=timeout_s)
        if task['state'] != 'done':
            reason = task['answer'].get('error', f'the device did not come within {timeout_s:g} s')
            return ParameterReading(device_id, error=reason)
        values = as_values(task['answer']['values'])
        return ParameterReading(device_id, {item.name: item for item in values}, datetime.now(UTC))

    async def read_levers(self, device_id: str, *, timeout_s: float = 60.0, max_age_s: float = 0.0) -> LeverReport:
        path = f'/v1/devices/{quote(device_id, safe="")}/levers'
        query = {'timeout_s': str(timeout_s), 'max_age_s': str(max_age_s)}
        answer = await self._call('GET', path, query=query, wait_s=timeout_s)
        levers = tuple(_lever(item) for item in answer['levers'])
        return LeverReport(answer['root'], answer['profile'], levers, answer['boolean_as_number'])

    # The desired state is asked for in one call, however many; a connection request makes it urgent.
    async def apply(
        self, profile: ValueProfile, device_ids: Sequence[str], *, urgent: bool | None = None
    ) -> Mapping[str, ProfileStatus]:
        values = [{'name': item.name, 'value': item.value, 'type': item.type} for item in profile.values]
        body = {'profile': profile.name, 'revision': profile.revision, 'values': values, 'note': profile.note}
        return await self._statuses('/v1/apply', device_ids, body)

    async def restore(self, device_ids: Sequence[str], *, urgent: bool | None = None) -> Mapping[str, ProfileStatus]:
        return await self._statuses('/v1/restore', device_ids)

    async def read_back(self, device_ids: Sequence[str]) -> Mapping[str, ProfileStatus]:
        return await self._statuses('/v1/status', device_ids)

    async def _statuses(
        self, path: str, device_ids: Sequence[str], body: Mapping[str, Any] | None = None
    ) -> dict[str, ProfileStatus]:
        found: dict[str, ProfileStatus] = {}
        for start in range(0, len(device_ids), _BATCH):
            part = list(device_ids[start : start + _BATCH])
            answer = await self._call('POST', path, body={**(body or {}), 'device_ids': part})
            found.update((item['device_id'], _status(item)) for item in answer['statuses'])
        return found

    async def request_connections(self, device_ids: Sequence[str]) -> Mapping[str, ConnectionRequest]:
        found: dict[str, ConnectionRequest] = {}
        for start in range(0, len(device_ids), 200):  # a call lasts as long as its slowest device
            part = list(device_ids[start : start + 200])
            answer = await self._call('POST', '/v1/connection-requests', body={'device_ids': part}, wait_s=300)
            found.update(
                (device_id, ConnectionRequest(outcome)) for device_id, outcome in answer['connection_requests'].items()
            )
        return found

    async def shortcomings(self) -> Sequence[str]:
        return ()

    async def quarantined(self) -> Mapping[str, str]:
        found: dict[str, str] = (await self._call('GET', '/v1/quarantine'))['models']
        return found


def _values(items: Iterable[Mapping[str, str]]) -> tuple[ParameterValue, ...]:
    return tuple(ParameterValue(item['name'], item['value'], item['type']) for item in items)


def _info(item: Mapping[str, Any]) -> CpeInfo:
    return CpeInfo(
        item['id'],
        item['manufacturer'],
        item['oui'],
        item['product_class'],
        item['serial'],
        item['software_version'],
        item['hardware_version'],
        item['address'],
        item['connection_request_url'],
        item['parameter_key'],
        datetime.fromtimestamp(item['last_inform'], UTC),
        warning=item['warning'],
    )


def _status(item: Mapping[str, Any]) -> ProfileStatus:
    return ProfileStatus(
        item['device_id'],
        ProvisioningState(item['state']),
        item['profile'],
        item['revision'],
        item['restoring'],
        _values(item['before']),
        item['message'],
        item['note'],
    )


def _lever(item: Mapping[str, Any]) -> Lever:
    return Lever(
        Kind(item['kind']),
        Direction(item['direction']),
        item['path'],
        Unit(item['unit']),
        Status(item['status']),
        item['source'],
        guard.Risk(item['risk']),
        item['writable'],
        item['current'],
        item['type'],
        item['enable'],
        item['usable'],
        item['chosen'],
        item['why'],
    )
