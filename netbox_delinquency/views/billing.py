from django.contrib import messages
from django.shortcuts import redirect
from django.utils.translation import ngettext
from netbox.views.generic.base import BaseObjectView
from utilities.query import count_related
from utilities.views import register_model_view

from ..billing.attention import review
from ..billing.clock import database_now
from ..billing.ingest import process_again
from ..filtersets import BillingEventFilterSet
from ..jobs.inbox import enqueue_inbox
from ..models import BillingEvent, BillingSource, Contract
from ..object_actions import ProcessEvent, ProcessEvents, ReviewEvent, ReviewEvents
from ..ui import panels
from ..ui.base import page, table_of
from .base import DetailView, ListView, SelectionView, register_crud


@register_model_view(BillingSource)
class BillingSourceView(DetailView):
    queryset = BillingSource.objects.all()
    layout = page(
        panels.BillingSourcePanel(),
        bottom=(
            table_of('billingevent', 'source_id', add='source', exclude=('source',)),
            table_of('contract', 'source_id', add='source', exclude=('source',)),
        ),
    )


@register_model_view(BillingEvent)
class BillingEventView(DetailView):
    queryset = BillingEvent.objects.all()
    actions = (ReviewEvent, ProcessEvent, *DetailView.actions)
    layout = page(panels.BillingEventPanel(), under=('source',), comments=False)


class EventListView(ListView):
    actions = (*ListView.actions, ProcessEvents, ReviewEvents)


def process_and_tell(request, events) -> None:
    count = process_again(events, database_now())
    if count:
        enqueue_inbox()
    text = ngettext(
        '{count} event that had come to nothing is processed again.',
        '{count} events that had come to nothing are processed again.',
        count,
    )
    messages.success(request, text.format(count=count))


@register_model_view(BillingEvent, 'process')
class BillingEventProcessView(BaseObjectView):
    queryset = BillingEvent.objects.all()
    http_method_names = ('post',)

    def get_required_permission(self):
        return 'netbox_delinquency.process_billingevent'

    def post(self, request, pk):
        event = self.get_object(pk=pk)
        process_and_tell(request, self.queryset.filter(pk=event.pk))
        return redirect(event.get_absolute_url())


@register_model_view(BillingEvent, 'bulk_process', path='process', detail=False)
class BillingEventsProcessView(SelectionView):
    queryset = BillingEvent.objects.all()
    filterset = BillingEventFilterSet
    permission = 'process'

    def post(self, request):
        process_and_tell(request, self.chosen(request).order_by())
        return redirect(self.get_return_url(request))


def review_and_tell(request, events) -> None:
    count = review(events, request.user, database_now())
    text = ngettext('{count} event was reviewed.', '{count} events were reviewed.', count)
    messages.success(request, text.format(count=count))


@register_model_view(BillingEvent, 'review')
class BillingEventReviewView(BaseObjectView):
    queryset = BillingEvent.objects.all()
    http_method_names = ('post',)

    def get_required_permission(self):
        return 'netbox_delinquency.review_billingevent'

    def post(self, request, pk):
        event = self.get_object(pk=pk)
        review_and_tell(request, self.queryset.filter(pk=event.pk))
        return redirect(event.get_absolute_url())


@register_model_view(BillingEvent, 'bulk_review', path='review', detail=False)
class BillingEventsReviewView(SelectionView):
    queryset = BillingEvent.objects.all()
    filterset = BillingEventFilterSet
    permission = 'review'

    def post(self, request):
        review_and_tell(request, self.chosen(request).order_by())
        return redirect(self.get_return_url(request))


__all__ = (
    'BillingEventProcessView',
    'BillingEventReviewView',
    'BillingEventView',
    'BillingEventsProcessView',
    'BillingEventsReviewView',
    'BillingSourceView',
    *register_crud(
        __name__, BillingSource, BillingSource.objects.annotate(contract_count=count_related(Contract, 'source'))
    ),
    *register_crud(__name__, BillingEvent, bases={'List': EventListView}),
)
