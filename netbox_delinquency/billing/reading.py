"""What an event says, by the adapter of its source; what is kept of that beside the body."""

from __future__ import annotations

from typing import Any, Protocol

from .base import RELIEVING, Parsed
from .registry import get_adapter

__all__ = ('Source', 'describe', 'parse_body')


class Source(Protocol):
    """What of a billing source is asked here."""

    adapter: Any
    parameters: Any


def parse_body(source: Source, body: bytes) -> tuple[str, Parsed]:
    """The event's type and what it says, by the source's adapter. Raises `BillingError`."""
    adapter = get_adapter(source.adapter)
    kind = adapter.event_type(body)
    return kind, adapter.parse(body, adapter.settings.model_validate(source.parameters))


def describe(parsed: Parsed) -> dict[str, Any]:
    """What is kept beside the body, so that payments come first whatever adapter they came by."""
    first = parsed.words[0] if parsed.words else None
    meanings = {word.meaning for word in parsed.words}
    return {
        'meaning': first.meaning if first else '',
        'is_urgent': parsed.unrecognised or bool(meanings & RELIEVING),
        'contract': parsed.contract or (first.contract if first and len(parsed.words) == 1 else ''),
    }
