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
    from django.utils import timezone

    from netbox_delinquency.models import BillingSource, Contract, Invoice
    from netbox_delinquency.policy.evaluate import evaluate

    now = timezone.now()
    due, amount = now.date() - timedelta(days=int(sys.argv[1])), Decimal('99.90')
    contracts = Contract.objects.filter(external_id__in=json.load(sys.stdin))
    Invoice.objects.bulk_create(
        Invoice(
            contract=contract, reference=f'{contract.external_id}/1', occurred_at=now, is_open=True, due_date=due,
            amount=amount,
        )
        for contract in contracts
    )  # fmt: skip
    contracts.update(oldest_due_date=due, open_balance=amount, unpaid_invoices=1, facts_at=now)
    BillingSource.objects.update(last_event_at=now)
    evaluate(now)


if __name__ == '__main__':
    main()
