"""The adapters that are installed, by name."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from .adapters.standard_webhooks import StandardWebhooks
from .base import Adapter, BillingError

__all__ = ('DEFAULT_ADAPTER', 'AdapterMissingError', 'available_adapters', 'get_adapter')

ENTRY_POINT_GROUP = 'netbox_delinquency.billing_adapters'
DEFAULT_ADAPTER = 'standard_webhooks'


class AdapterMissingError(BillingError):
    """A source names an adapter that is not installed here."""


@cache
def available_adapters() -> tuple[str, ...]:
    """Names of all installed adapters, sorted; none of them is imported for it."""
    return tuple(sorted({DEFAULT_ADAPTER, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))}))


@cache
def get_adapter(name: str) -> Adapter:
    """The adapter of that name. Raises `AdapterMissingError` where none is installed."""
    if name == DEFAULT_ADAPTER:
        # Ours is there whatever the metadata of an installation say: a source without an adapter could not be paid at.
        return StandardWebhooks()
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        adapter: Adapter = entry.load()()
        return adapter
    raise AdapterMissingError(f'no billing adapter "{name}" is installed; there are: {", ".join(available_adapters())}')
