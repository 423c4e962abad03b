"""Where billing calls in: check the signature on the raw body, store, answer; the work is a job's."""

from __future__ import annotations

import logging

from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from redis.exceptions import RedisError

from nornir_tasks.credentials import get_credential
from nornir_tasks.errors import CredentialMissingError

from ..billing import standard_webhooks
from ..billing.events import EventRefusedError, SignatureRefusedError
from ..billing.ingest import store_event
from ..choices import EventStatusChoices
from ..jobs.inbox import enqueue_inbox
from ..jobs.periodic import ensure_now_and_then
from ..models import BillingSource
from ..settings import get_settings

__all__ = ('WebhookView',)

logger = logging.getLogger('netbox_delinquency.webhooks')


def answer(status: int, detail: str) -> JsonResponse:
    return JsonResponse({'detail': detail}, status=status)


@method_decorator(csrf_exempt, name='dispatch')
class WebhookView(View):
    """`POST webhooks/<slug>/`. A plain view: the signature is over the bytes, so nothing may parse them before.

    200 stored (a duplicate too), 400 unusable body, 401 signature refused, 404 no such source, 410 source disabled,
    413 body too large, 503 our own key is missing (the sender tries again).
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
            event_id = standard_webhooks.verify(get_credential(source.credential), request.headers, request.body)
        except CredentialMissingError:
            logger.exception('billing source %s: its signing key is missing', source.slug)
            return answer(503, 'This source cannot be verified at the moment.')
        except SignatureRefusedError as error:
            # The sender is not told why; the log says it.
            logger.warning('billing source %s: event refused: %s', source.slug, error)
            return answer(401, 'The signature was refused.')
        if len(event_id) > 200:
            return answer(400, 'webhook-id: at most 200 characters.')
        try:
            event, is_new = store_event(source, event_id, request.body.decode(), timezone.now())
        except EventRefusedError as error:
            return answer(400, str(error))
        if event.status == EventStatusChoices.RECEIVED:
            # A duplicate that was never processed is queued once more.
            try:
                enqueue_inbox()
                ensure_now_and_then()
            except RedisError:
                # It is stored, and that is what the sender asked for: it is processed as soon as there is a queue.
                logger.exception('billing source %s: event %s is stored, but there is no queue', source.slug, event_id)
        return answer(200, 'stored' if is_new else 'known already')
