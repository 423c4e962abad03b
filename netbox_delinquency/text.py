"""What people read: a sentence as it is, or one that is translated when it is shown."""

from __future__ import annotations

from django.utils.functional import Promise

__all__ = ('Text',)

type Text = str | Promise
