"""How the values of `nornir_tasks.change` are shown, and the one value that not everybody sees."""

from dataclasses import asdict

from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from nornir_tasks.change import AccessState

from ...choices import AccessModeChoices, ObservedModeChoices
from ...models import EnforcementChange
from ...models.state import get_state, state_fields
from ...rights import may_see

__all__ = (
    'AccessStateSerializer',
    'AwareDateTimeField',
    'BalanceField',
    'ObservedStateSerializer',
    'SeenMixin',
    'TargetField',
)


class SeenMixin(serializers.ModelSerializer):
    """Mixed into a model's serializer: within another object it shows its own to whoever may see it, else its key."""

    nested: bool

    def to_representation(self, instance):
        request = self.context.get('request')
        if self.nested and request is not None and not self._may_see(request.user, instance):
            shown = {name: self.fields[name] for name in ('id', 'url') if name in self.fields}
            found = {name: field.to_representation(field.get_attribute(instance)) for name, field in shown.items()}
            return {**found, 'display': f'#{instance.pk}'}
        return super().to_representation(instance)

    def _may_see(self, user, instance):
        """Asked once an answer of each object: many rows have the same plan, source or point."""
        asked = self.context.setdefault('seen', {})
        key = type(instance), instance.pk
        if key not in asked:
            asked[key] = may_see(user, instance)
        return asked[key]


class AccessStateSerializer(serializers.Serializer):
    """The `AccessState` kept in the columns `<field>_mode`, `<field>_down_kbps`, `<field>_up_kbps`; null: none kept."""

    mode = serializers.ChoiceField(choices=AccessModeChoices)
    down_kbps = serializers.IntegerField(min_value=1, allow_null=True, default=None, help_text='kbit/s')
    up_kbps = serializers.IntegerField(min_value=1, allow_null=True, default=None, help_text='kbit/s')

    def __init__(self, *args, **kwargs):
        super().__init__(*args, source='*', **kwargs)

    def to_representation(self, instance):
        state = get_state(instance, self.field_name)
        return state.as_dict() if state else None

    def validate(self, attrs):
        if 'mode' not in attrs:  # a PATCH too names the whole state
            raise serializers.ValidationError({'mode': self.fields['mode'].error_messages['required']})
        try:
            state = AccessState.from_dict(attrs)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error
        return dict(zip(state_fields(self.field_name), state.as_dict().values(), strict=True))


class ObservedStateSerializer(AccessStateSerializer):
    """How a line is seen; the mode `foreign` is a line that somebody else restricts, and we do not."""

    mode = serializers.ChoiceField(choices=ObservedModeChoices)

    def to_representation(self, instance):
        state = super().to_representation(instance)
        return state and {**state, 'mode': getattr(instance, state_fields(self.field_name)[0])}


@extend_schema_field(OpenApiTypes.OBJECT)
class TargetField(serializers.ReadOnlyField):
    """A line as its enforcement point's driver knows it: `AccessTarget(**line.target)` is what a runbook works with.

    That of a run's row is of the side the row is about, with the values the row sets.
    """

    def __init__(self, **kwargs):
        super().__init__(source='*', **kwargs)

    def to_representation(self, instance):
        is_row = isinstance(instance, EnforcementChange)
        target = asdict(instance.as_change().target if is_row else instance.as_target())
        if not target['values']:
            del target['values']
        return target


class BalanceField(serializers.DecimalField):
    """What `Contract.objects.with_visible_balance(user)` lets this user see; null without it.

    Event rules render contracts without a user, so no webhook ever carries a balance.
    """

    def __init__(self, **kwargs):
        super().__init__(max_digits=12, decimal_places=2, allow_null=True, read_only=True, **kwargs)

    def get_attribute(self, instance):
        return getattr(instance, 'visible_balance', None)


class AwareDateTimeField(serializers.DateTimeField):
    """A moment with its offset: one without would be taken for the server's own time, and a deadline would move."""

    def to_internal_value(self, value):
        if isinstance(value, str):
            parsed = parse_datetime(value)
            if parsed is not None and parsed.tzinfo is None:
                raise serializers.ValidationError(
                    'Give the time with its offset, for example 2026-08-05T12:00:00-03:00.'
                )
        return super().to_internal_value(value)
