"""SQL statements that one signed event takes, in the environment of an instance: the most of several kinds.

python -m benchmarks.webhook_statements SIGNING_KEY
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import django
from standardwebhooks import Webhook


def main() -> None:
    django.setup()
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client, counts = Client(), []
    for number in range(6):
        kind = 'invoice.paid' if number % 2 else 'heartbeat'
        now, event_id = datetime.now(tz=UTC), f'counted_{number}'
        data = {'contract': 'C-nobody', 'invoice': 'I', 'payments_known_until': now.isoformat()}
        body = json.dumps({'type': kind, 'timestamp': now.isoformat(), 'data': data})
        headers = {
            'webhook-id': event_id, 'webhook-timestamp': str(int(now.timestamp())),
            'webhook-signature': Webhook(sys.argv[1]).sign(event_id, now, body),
        }  # fmt: skip
        with CaptureQueriesContext(connection) as queries:
            answer = client.post(
                '/api/plugins/delinquency/webhooks/demo/', body, content_type='application/json', headers=headers
            )
        if answer.status_code != 200:
            raise SystemExit(f'answered {answer.status_code}: {answer.content!r}')
        counts.append(len(queries))
    # The first of each kind finds nothing cached, and queues the job.
    print(max(counts[2:]))


if __name__ == '__main__':
    main()
