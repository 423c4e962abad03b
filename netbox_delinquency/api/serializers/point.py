from dcim.api.serializers import DeviceSerializer
from netbox.api.fields import ChoiceField, RelatedObjectCountField
from netbox.api.serializers import PrimaryModelSerializer
from rest_framework import serializers
from virtualization.api.serializers import VirtualMachineSerializer

from ...choices import EnforcementModeChoices, PointStatusChoices
from ...models import EnforcementPoint
from .fields import SeenMixin

__all__ = ('EnforcementPointSerializer',)


class EnforcementPointSerializer(SeenMixin, PrimaryModelSerializer):
    """`credential` and `host_key` are a name and a public key: there is no secret to show."""

    status = ChoiceField(choices=PointStatusChoices, required=False)
    mode = ChoiceField(choices=EnforcementModeChoices, required=False)
    checked_at = serializers.DateTimeField(read_only=True)
    check_failure = serializers.CharField(read_only=True)
    checked_as = serializers.CharField(read_only=True)
    is_unverified = serializers.BooleanField(read_only=True)
    device = DeviceSerializer(nested=True, required=False, allow_null=True, default=None)
    virtual_machine = VirtualMachineSerializer(nested=True, required=False, allow_null=True, default=None)
    host = serializers.CharField(read_only=True, help_text='Where to connect, the primary IP address considered')
    bras_line_count = RelatedObjectCountField('bras_lines')
    acs_line_count = RelatedObjectCountField('acs_lines')

    class Meta:
        model = EnforcementPoint
        fields = (
            'id', 'url', 'display_url', 'display', 'name', 'status', 'mode', 'driver', 'device', 'virtual_machine',
            'address', 'host', 'port', 'credential', 'host_key', 'parameters', 'timeout', 'batch_size',
            'max_rows_per_second', 'max_rows_per_hour', 'max_share_percent', 'checked_at', 'check_failure',
            'checked_as', 'is_unverified', 'description', 'owner',
            'comments', 'tags', 'custom_fields', 'created', 'last_updated', 'bras_line_count', 'acs_line_count',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'name', 'status', 'driver', 'description')
