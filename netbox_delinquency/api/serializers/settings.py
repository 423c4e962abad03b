from netbox.api.serializers import PrimaryModelSerializer

from ...models import EnforcementSettings
from .fields import SeenMixin

__all__ = ('EnforcementSettingsSerializer',)


class EnforcementSettingsSerializer(SeenMixin, PrimaryModelSerializer):
    class Meta:
        model = EnforcementSettings
        fields = (
            'id', 'url', 'display_url', 'display', 'stopped', 'stop_reason', 'four_eyes', 'waves', 'soak_seconds',
            'deadline_minutes', 'max_failed_percent', 'min_rows', 'max_refused_percent', 'max_session_drop_percent',
            'max_latency_factor', 'max_rows_per_run', 'max_share_percent', 'max_rows_per_hour', 'reconcile_percent',
            'check_days', 'allow_unchecked',
            'description', 'owner', 'comments', 'tags', 'custom_fields', 'created', 'last_updated',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'stopped', 'stop_reason')

    def update(self, instance, validated_data):
        """The switch is thrown by itself; `instance` has the new values already, by validation."""
        if {'stopped', 'stop_reason'} & set(validated_data):
            EnforcementSettings.ensured().throw(instance.stopped, instance.stop_reason)
            instance.refresh_from_db()
            for name in ('stopped', 'stop_reason'):
                validated_data.pop(name, None)
        return super().update(instance, validated_data) if validated_data else instance
