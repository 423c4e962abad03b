"""Where billing calls in: check the signature on the raw body, store, answer; the rest is a job's."""

from __future__ import annotations

import logging

from django.http import HttpRequest, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from redis.exceptions import RedisError

from nornir_tasks.credentials import get_credential
from nornir_tasks.errors import CredentialMissingError

from ..billing.attention import alarm
from ..billing.base import EventRefusedError, SignatureRefusedError, SigningKeyError
from ..billing.reading import parse_body
from ..billing.receipt import Receipt, Stored, store_event
from ..billing.registry import AdapterMissingError, get_adapter
from ..jobs.inbox import enqueue_inbox_soon
from ..jobs.periodic import ensure_now_and_then
from ..models import BillingEvent, BillingSource
from ..settings import get_settings

__all__ = ('WebhookView',)

logger = logging.getLogger('netbox_delinquency.webhooks')

UNAVAILABLE = 'This source cannot be verified at the moment.'


def answer(status: int, detail: str) -> JsonResponse:
    return JsonResponse({'detail': detail}, status=status)


@method_decorator(csrf_exempt, name='dispatch')
class WebhookView(View):
    """`POST webhooks/<slug>/`. A plain view: the signature is over the bytes, so nothing may parse them before.

    200 stored (a duplicate too), 400 unusable body, 401 signature refused, 404 no such source, 409 another body under
    a known ID, 410 source disabled, 413 body too large, 503 our own key is missing or broken (the sender tries again).
    """

    http_method_names = ('post', 'options')

    def post(self, request: HttpRequest, slug: str) -> JsonResponse:
        source = BillingSource.objects.filter(slug=slug).first()
        if source is None:
            return answer(404, 'There is no such billing source.')
        if not source.enabled:
            return answer(410, 'This billing source is disabled.')
        limit = get_settings().webhook_max_bytes
        # The stated length is refused before a byte is read; Django reads no further than it.
        stated = request.META.get('CONTENT_LENGTH') or '0'
        if not stated.isdecimal() or int(stated) > limit:
            return answer(413, f'An event has at most {limit} bytes.')
        try:
            event_id, receipt = self.receive(request, source)
        except (CredentialMissingError, SigningKeyError, AdapterMissingError):
            logger.exception('billing source %s: its signing key cannot be used', source.slug)
            return answer(503, UNAVAILABLE)
        except SignatureRefusedError as error:
            # The sender is not told why; the log says it.
            logger.warning('billing source %s: event refused: %s', source.slug, error)
            return answer(401, 'The signature was refused.')
        except EventRefusedError as error:
            return answer(400, str(error))
        if receipt.stored is Stored.CONFLICT:
            if receipt.pk is not None:
                alarm([BillingEvent.objects.get(pk=receipt.pk)])
            return answer(409, 'Another event was received under this webhook-id: send this one under its own.')
        if receipt.is_waiting:
            # A duplicate that was never processed is queued once more.
            try:
                enqueue_inbox_soon(receipt.is_urgent)
                ensure_now_and_then()
            except RedisError:
                # It is stored, and that is what the sender asked for: it is processed as soon as there is a queue.
                logger.exception('billing source %s: event %s is stored, but there is no queue', source.slug, event_id)
        return answer(200, 'stored' if receipt.stored is Stored.NEW else 'known already')

    def receive(self, request: HttpRequest, source: BillingSource) -> tuple[str, Receipt]:
        """The sender's ID of the event, and what became of it. Raises `BillingError`, `CredentialMissingError`."""
        credential = get_credential(source.credential)
        body = request.body
        event_id = get_adapter(source.adapter).verify(credential, request.headers, request.GET.dict(), body)
        kind, parsed = parse_body(source, body)
        return event_id, store_event(source, event_id, kind, body.decode(), parsed)
