from django.utils.translation import gettext_lazy as _
from netbox.forms import PrimaryModelBulkEditForm, PrimaryModelFilterSetForm, PrimaryModelForm
from utilities.forms.fields import TagFilterField
from utilities.forms.rendering import FieldSet

from ..models import Subscriber
from .base import OWNERSHIP, SEARCH, PrimaryImportForm, filter_by

__all__ = ('SubscriberBulkEditForm', 'SubscriberFilterForm', 'SubscriberForm', 'SubscriberImportForm')

FIELDS = ('external_id', 'name', 'description', 'owner', 'comments', 'tags')


class SubscriberForm(PrimaryModelForm):
    fieldsets = (FieldSet('external_id', 'name', 'description', 'tags', name=_('Subscriber')),)

    class Meta:
        model = Subscriber
        fields = FIELDS


class SubscriberImportForm(PrimaryImportForm):
    class Meta:
        model = Subscriber
        fields = FIELDS


class SubscriberBulkEditForm(PrimaryModelBulkEditForm):
    model = Subscriber
    fieldsets = (FieldSet('description'),)
    nullable_fields = ('description', 'comments')


class SubscriberFilterForm(PrimaryModelFilterSetForm):
    model = Subscriber
    fieldsets = (SEARCH, FieldSet('external_id', 'name', name=_('Subscriber')), OWNERSHIP)

    external_id = filter_by(Subscriber, 'external_id')
    name = filter_by(Subscriber, 'name')
    tag = TagFilterField(model)
