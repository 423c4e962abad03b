"""What docs/billing.md tells billing developers to send is understood, and it leaves nothing out."""

import json
import re
from pathlib import Path

import pytest

from netbox_delinquency.billing.adapters.standard_webhooks import (
    AGREEMENTS,
    CONTRACTS,
    DISPUTES,
    INVOICES,
    NOTICES,
    StandardWebhooks,
    StandardWebhooksSettings,
)
from netbox_delinquency.billing.base import Meaning
from netbox_delinquency.choices import EventStatusChoices

PAGE = (Path(__file__).parents[2] / 'docs' / 'billing.md').read_text()
KNOWN = {*INVOICES, *AGREEMENTS, *DISPUTES, *NOTICES, *CONTRACTS, 'statement', 'heartbeat'}
WHOLE = [json.loads(text) for text in re.findall(r'```json\n(.*?)```', PAGE, re.DOTALL)]
ROWS = [
    (kind, json.loads(sample))
    for kinds, samples in re.findall(r'^\| (`[a-z_.`, ]+`) \| (.*?) \|', PAGE, re.MULTILINE)
    for kind in re.findall(r'`([a-z_.]+)`', kinds)
    if kind in KNOWN
    for sample in re.findall(r'`(\{.*?\})`', samples)
]


def parse(event):
    return StandardWebhooks().parse(json.dumps(event).encode(), StandardWebhooksSettings())


@pytest.mark.parametrize(('kind', 'data'), ROWS, ids=lambda value: value if isinstance(value, str) else '')
def test_a_sample_is_understood(kind, data):
    named = {'contract': 'C-1001', 'invoice': '2026-09-1001'}
    if not kind.startswith(('invoice.', 'payment.')):
        del named['invoice']
    parsed = parse({'type': kind, 'timestamp': '2026-09-11T03:00:00-03:00', 'data': named | data})
    assert len(parsed.words) == 1
    assert not parsed.unrecognised


@pytest.mark.parametrize('event', WHOLE, ids=lambda event: event['type'])
def test_a_whole_event_is_understood(event):
    assert parse(event).words


def test_every_type_has_a_sample():
    assert {kind for kind, _ in ROWS} | {event['type'] for event in WHOLE} == KNOWN - {'invoice.canceled'}


def test_every_meaning_can_be_said():
    said = {word.meaning for kind, data in ROWS for word in parse(event_of(kind, data)).words}
    said |= {word.meaning for event in WHOLE for word in parse(event).words}
    assert said == set(Meaning)


def event_of(kind, data):
    named = {'contract': 'C-1001', **({'invoice': 'I'} if kind.startswith(('invoice.', 'payment.')) else {})}
    return {'type': kind, 'timestamp': '2026-09-11T03:00:00-03:00', 'data': named | data}


def test_every_status_that_spares_somebody_is_explained():
    explained = set(re.findall(r'^\| `(\w+)` \| ', PAGE, re.MULTILINE))
    assert explained >= set(EventStatusChoices.values()) - {'received', 'processed'}
