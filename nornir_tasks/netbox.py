"""NetBox over REST, for runbooks: points and lines to work on, runs to execute, and the journal kept there.

Everything goes through pynetbox's own requests (v2 tokens, pages), as plain JSON: a record object for each of ten
thousand lines would cost more than the lines.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pynetbox
import requests
from pynetbox.core.query import AllocationError, ContentError, Request, RequestError
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, ChangeResult, CpeValue, Reading, ValueSet
from nornir_tasks.engine.breaker import Health
from nornir_tasks.engine.journal import Claim
from nornir_tasks.errors import ConfigurationError, EnforcementError
from nornir_tasks.points import Point

PAGE = 1000
TIMEOUT = 30.0  # seconds without an answer
PAGE_TIMEOUT = 120.0  # a thousand devices take a busy NetBox a while, and asking again makes it busier
PAGE_WORKERS = 2  # pages asked for at a time
REASON = 400  # characters that NetBox keeps of why a run was left
NO_CONTENT = 204


class NetBoxError(EnforcementError):
    """NetBox refused a call or could not be reached; the text is its own sentence."""


@dataclass(frozen=True, slots=True)
class Line:
    """An access line as NetBox holds it. `point` is where it is enforced, empty where it has none."""

    target: AccessTarget
    point: str
    intended: AccessState
    observed: AccessState | None
    drifting: bool
    foreign: tuple[str, ...] = ()  # what somebody else restricts there


class _Session(requests.Session):
    """Every call has a time limit; a read is tried again, a write never (its answer may only have been lost)."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        super().__init__()
        self.timeout = timeout
        retry = Retry(total=3, backoff_factor=0.5, status_forcelist=(502, 503, 504), allowed_methods=('GET',))
        for scheme in ('http://', 'https://'):
            self.mount(scheme, HTTPAdapter(max_retries=retry))

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        return super().request(*args, **{'timeout': self.timeout, **kwargs})


class NetBox:
    """The plugin's REST API. All methods raise `NetBoxError`.

    Each is a runbook of its own: what one has begun, another of the same user cannot go on with unawares. `runbook_id`
    (at most 36 letters, digits and hyphens; a random one where none is given) is its name: who knows it goes on as it.
    """

    def __init__(self, url: str, token: str, runbook_id: str = '') -> None:
        self._api = pynetbox.api(url, token=token)
        self._api.http_session = _Session()
        self._api.http_session.headers['Runbook-Id'] = runbook_id or secrets.token_hex(4)

    @classmethod
    def from_environment(cls, runbook_id: str = '') -> NetBox:
        """By `NETBOX_URL` and `NETBOX_TOKEN`. Raises `ConfigurationError` where either is missing."""
        missing = [name for name in ('NETBOX_URL', 'NETBOX_TOKEN') if not os.environ.get(name)]
        if missing:
            raise ConfigurationError(f'set {" and ".join(missing)}: the address of NetBox, and an API token of yours')
        return cls(os.environ['NETBOX_URL'], os.environ['NETBOX_TOKEN'], runbook_id)

    def rows(self, path: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """All rows of a list (`runs`, `changes`, …) by its filters, page after page."""
        try:
            yield from self._request(path, filters).get()
        except (RequestError, ContentError, requests.RequestException) as error:
            raise NetBoxError(_sentence(error)) from error

    def every(self, path: str, **filters: Any) -> list[dict[str, Any]]:
        """All rows of a list anywhere in NetBox's API (`dcim/devices`), its pages fetched beside each other."""
        request = Request(
            base=f'{self._api.base_url}/{path}',
            http_session=_Session(PAGE_TIMEOUT),
            token=self._api.token,
            filters=filters,
            limit=PAGE,
            threading=True,
            max_workers=PAGE_WORKERS,
        )
        try:
            found = list(request.get())
        except (RequestError, ContentError, requests.RequestException) as error:
            raise NetBoxError(_sentence(error)) from error
        return sorted(found, key=lambda record: (record['name'] or '', record.get('id', 0)))

    def points(self, **filters: Any) -> list[Point]:
        """Enforcement points, by the filters of their list (`name='bras-1'`, `status='active'`)."""
        return [as_point(record) for record in self.rows('enforcement-points', **filters)]

    def lines(self, **filters: Any) -> list[Line]:
        """Access lines, by the filters of their list (`bras='bras-1'`, `drifting=True`)."""
        return [_line(record) for record in self.rows('access-lines', **filters)]

    def run(self, pk: int) -> dict[str, Any]:
        """One run, as REST gives it."""
        answer = list(self.rows('runs', id=pk))
        if not answer:
            raise NetBoxError(f'there is no run {pk}, or you may not see it')
        return answer[0]

    def plan(self, name: str = '', **filters: Any) -> list[dict[str, Any]]:
        """Plan the drifting lines among those chosen; returns the runs made."""
        runs: list[dict[str, Any]] = self._post('runs/plan', {'name': name, 'filters': filters})
        return runs

    def act(self, pk: int, action: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """An action on a run: approve, start, begin, finish, cancel, or one of the journal's."""
        answer: dict[str, Any] = self._post(f'runs/{pk}/{action}', dict(body or {}))
        return answer

    def finish(self, pk: int, *reasons: str) -> dict[str, Any]:
        """Let go of a run that was begun: it has ended where its rows are closed. Rows left open, for these `reasons`,
        pause it until somebody resumes it; of one that gives access back, NetBox's workers take them up."""
        problem = '; '.join(sorted(set(reasons)))
        return self.act(pk, 'finish', {'reason': problem[:REASON]} if problem else {})

    def progress(self, pk: int) -> dict[str, Any]:
        """How far a run is: status, wave, waves, rows, done, outcomes, rate_per_s, eta_s (seconds), stop_reason,
        soak_seconds (between two waves)."""
        return next(self.rows(f'runs/{pk}/progress'))

    def preview(self, pk: int) -> dict[str, Any]:
        """What a run would do: rows by point and by wave, warnings, and `refusals`: why it cannot be approved now."""
        return next(self.rows(f'runs/{pk}/preview'))

    def open_changes(self, pk: int) -> dict[str, list[AccessChange]]:
        """The rows of a run that are not closed yet, by point name."""
        changes: dict[str, list[AccessChange]] = {}
        for record in self.rows('changes', run_id=pk):
            if record['outcome']:
                continue
            change = AccessChange(
                key=str(record['id']),
                target=_target(record['target']),
                desired=_desired(record),
                reason=record['reason'],
                exact=record.get('exact') or {},
                wave=record.get('wave', 0),
            )
            changes.setdefault(_point_name(record), []).append(change)
        return changes

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        try:
            return self._request(path).post(body)
        except ContentError as error:
            if error.req.status_code == NO_CONTENT:
                return {}
            raise NetBoxError(_sentence(error)) from error
        except (RequestError, AllocationError, requests.RequestException) as error:
            raise NetBoxError(_sentence(error)) from error

    def _request(self, path: str, filters: Mapping[str, Any] | None = None) -> Request:
        return Request(
            base=f'{self._api.base_url}/plugins/delinquency/{path}',
            http_session=self._api.http_session,
            token=self._api.token,
            filters=dict(filters or {}),
            limit=PAGE,
        )


class NetBoxJournal:
    """`nornir_tasks.engine.journal.Journal`, kept in NetBox over REST. The run must have been begun."""

    def __init__(self, netbox: NetBox, run: int) -> None:
        self.netbox = netbox
        self.run = run

    def claim(self, changes: Sequence[AccessChange]) -> Claim:
        answer = self.netbox.act(self.run, 'claim', {'keys': [change.key for change in changes]})
        return Claim(answer['refused'], frozenset(answer['busy']), answer.get('stop_reason', ''))

    def sending(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> Mapping[str, str]:
        rows = {change.key: before[change.target.key].as_dict() for change in changes}
        refused: Mapping[str, str] = self.netbox.act(self.run, 'sending', {'before': rows})['refused']
        return refused

    def unsent(self, changes: Sequence[AccessChange]) -> None:
        self.netbox.act(self.run, 'unsent', {'keys': [change.key for change in changes]})

    def finished(self, results: Sequence[ChangeResult]) -> None:
        rows = [
            {
                'key': result.key,
                'outcome': str(result.outcome),
                'before': result.before.as_dict() if result.before else None,
                'after': result.after.as_dict() if result.after else None,
                'message': result.message,
                'refused': result.refused,
            }
            for result in results
        ]
        self.netbox.act(self.run, 'finished', {'results': rows})

    def health(self, point: str, health: Health) -> None:
        body = {'point': point, 'sessions': health.sessions, 'latency_s': health.latency_s}
        self.netbox.act(self.run, 'health', body)

    def close(self) -> None:
        pass


def as_point(record: Mapping[str, Any]) -> Point:
    """An enforcement point as REST gives it."""
    return Point(
        name=record['name'],
        driver=record['driver'],
        address=record['host'],
        port=record['port'],
        credential=record['credential'],
        host_key=record['host_key'],
        parameters=record['parameters'],
        timeout=float(record['timeout']),
        batch_size=record['batch_size'],
        rate_per_s=record.get('max_rows_per_second'),
    )


def _target(record: Mapping[str, Any]) -> AccessTarget:
    return AccessTarget(**{**record, 'values': tuple(CpeValue(**item) for item in record.get('values', ()))})


def _desired(record: Mapping[str, Any]) -> Any:
    """A state, or for a row of a profile run the values that are to hold."""
    if record.get('values') is None:
        return AccessState.from_dict(record['desired'])
    return ValueSet.from_dict(record)


def _point_name(record: Mapping[str, Any]) -> str:
    """Raises `NetBoxError` where the user may not see the point: NetBox shows of it its key alone."""
    point = record['point']
    if 'name' not in point:
        raise NetBoxError(
            f'you may not see point {point["display"]}: it needs the permission to view enforcement points'
        )
    return str(point['name'])


def _line(record: Mapping[str, Any]) -> Line:
    return Line(
        target=_target(record['target']),
        point=_point_name(record) if record['point'] else '',
        intended=AccessState.from_dict(record['intended']),
        observed=_observed(record['observed']),
        foreign=tuple(record.get('foreign') or ()),
        drifting=record['drifting'],
    )


def _observed(record: Mapping[str, Any] | None) -> AccessState | None:
    """Our part of it: a line that somebody else restricts is normal by us."""
    if not record:
        return None
    return AccessState.normal() if record['mode'] == 'foreign' else AccessState.from_dict(record)


def _sentence(error: Exception) -> str:
    """What NetBox said, without the request's headers (they hold the token)."""
    response = getattr(error, 'req', None)
    if response is None:
        return f'NetBox cannot be reached: {error}'
    try:
        body = response.json()
    except ValueError:
        return f'NetBox answered {response.status_code} {response.reason}'
    detail = body.get('detail', body) if isinstance(body, dict) else body
    return f'NetBox refused ({response.status_code}): {detail}'
