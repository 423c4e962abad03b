"""Make contracts owe, as if billing had told of it; in the environment of an instance.

    python -m benchmarks.restore_debts DAYS < NUMBERS

NUMBERS is a JSON list of contract numbers. What billing would say one by one is written at once and evaluated.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from decimal import Decimal

import django


def main() -> None:
    django.setup()
    from django.db import transaction

    from netbox_delinquency.billing.base import Entry, Meaning, Word
    from netbox_delinquency.billing.clock import database_now
    from netbox_delinquency.billing.posting import post_contracts, resolve, write_words
    from netbox_delinquency.models import BillingSource, Contract
    from netbox_delinquency.policy.evaluate import evaluate

    now = database_now()
    due, amount = now.date() - timedelta(days=int(sys.argv[1])), Decimal('99.90')
    contracts = list(Contract.objects.filter(external_id__in=json.load(sys.stdin)))
    with transaction.atomic():
        matches = resolve({(contract.source_id, contract.external_id) for contract in contracts})
        words = []
        for contract in contracts:
            name = contract.external_id
            word = Word(Meaning.OVERDUE, name, now, invoice=f'{name}/1', due_date=due, amount=amount)
            words.append((contract.source_id, Entry(word, now), matches[contract.source_id, name]))
        write_words(words)
        post_contracts([contract.pk for contract in contracts], now)
    BillingSource.objects.update(last_event_at=now, payments_known_at=now)
    evaluate(now)


if __name__ == '__main__':
    main()
