import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from netbox.plugins import PluginConfig
from rq.timeouts import JobTimeoutException

from netbox_delinquency.settings import parse_settings
from nornir_tasks.errors import INTERRUPTIONS
from nornir_tasks.inventory.hosts import preload
from tr069 import __version__


class DelinquencyConfig(PluginConfig):
    name = 'netbox_delinquency'
    verbose_name = 'Delinquency'
    description = 'Throttle, block and restore delinquent subscribers, lawfully and in bulk'
    version = __version__
    base_url = 'delinquency'
    min_version = '4.7.0'
    max_version = '4.7.99'
    # Served by `netbox rqworker netbox_delinquency.enforce netbox_delinquency.restore`, not by the default worker.
    queues = ['enforce', 'restore']

    def ready(self) -> None:
        super().ready()
        from netbox_delinquency import dashboard, events, signals  # noqa: F401  # each registers what it holds
        from netbox_delinquency.jobs import inbox, points, recovery, runs, system  # noqa: F401

        events.register_event_types()
        INTERRUPTIONS.append(JobTimeoutException)
        if sys.argv[1:2] == ['rqworker']:
            # A worker forks a process for every job: what is imported here need not be in each of them.
            preload()

    @classmethod
    def validate(cls, user_config: dict[str, Any], netbox_version: str) -> None:
        super().validate(user_config, netbox_version)
        try:
            parse_settings(user_config)
        except ValueError as error:
            raise ImproperlyConfigured(str(error)) from None


config = DelinquencyConfig
