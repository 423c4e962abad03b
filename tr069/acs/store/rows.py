"""Records to table rows, and back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from tr069.acs.store.records import DesiredRecord, DeviceRecord, TaskRecord, TaskState, dump_values, load_values
from tr069.client import ProvisioningState
from tr069.cwmp.messages import ParameterValue

CHUNK = 500  # ids in one IN (...): SQLite's oldest limit on variables is 999


def chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))


def desired_row(item: DesiredRecord) -> dict[str, Any]:
    return {
        'device_id': item.device_id,
        'profile': item.profile,
        'revision': item.revision,
        'values': dump_values(item.values),
        'restoring': item.restoring,
        'saved': json.dumps(sorted(item.saved)),
        'before': dump_values(item.before.values()),
        'before_key': item.before_key,
        'note': item.note,
        'state': str(item.state),
        'message': item.message,
        'attempts': item.attempts,
        'not_before': item.not_before,
        'changed_at': item.changed_at,
        'version': item.version,
    }


def device_from(row: sa.RowMapping) -> DeviceRecord:
    return DeviceRecord(**{name: row[name] for name in DeviceRecord._fields})


# A profile given to 50,000 devices is 50,000 equal texts; one parsed tuple serves them all.
_parsed: dict[str, tuple[ParameterValue, ...]] = {}


def _shared_values(text: str) -> tuple[ParameterValue, ...]:
    if len(_parsed) > 10_000:
        _parsed.clear()
    known = _parsed.get(text)
    if known is None:
        known = _parsed[text] = load_values(text)
    return known


def desired_from(row: sa.RowMapping) -> DesiredRecord:
    before = _shared_values(row['before'])
    fields: dict[str, Any] = {str(name): value for name, value in row.items()}
    fields |= {
        'values': _shared_values(row['values']),
        'before': {item.name: item for item in before},
        'saved': frozenset(json.loads(row['saved'])),
        'note': sys.intern(row['note']),
        'state': ProvisioningState(row['state']),
    }
    return DesiredRecord(**fields)


def task_from(row: sa.RowMapping) -> TaskRecord:
    fields: dict[str, Any] = {str(name): value for name, value in row.items()}
    fields |= {
        'request': json.loads(row['request']),
        'state': TaskState(row['state']),
        'answer': json.loads(row['answer']),
    }
    return TaskRecord(**fields)


def task_row(item: TaskRecord) -> dict[str, Any]:
    row: dict[str, Any] = {
        'id': item.id,
        'device_id': item.device_id,
        'created_at': item.created_at,
        'expires_at': item.expires_at,
    }
    row |= {
        'request': json.dumps(item.request, ensure_ascii=False),
        'state': str(item.state),
        'answer': json.dumps(item.answer, ensure_ascii=False),
    }
    return row
