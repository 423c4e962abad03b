"""What people enter by hand is made in nobody else's name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from netbox.context import current_request

__all__ = ('SignedModel', 'user_at_work')


def user_at_work() -> AbstractBaseUser | None:
    """The user whose request a page, REST or an import is answering; none in jobs, ingest and a shell."""
    request = current_request.get()
    user = getattr(request, 'user', None)
    return user if user is not None and user.is_authenticated else None


class SignedModel(models.Model):
    """Mixed into a model of which each object that is made by hand is signed by its maker."""

    class Meta:
        abstract = True

    def sign(self, user: Any) -> None:
        raise NotImplementedError

    def _sign(self) -> None:
        if self._state.adding and (user := user_at_work()) is not None:
            self.sign(user)

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        self._sign()
        super().clean_fields(exclude)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self._sign()  # REST checks one instance and saves another
        super().save(*args, **kwargs)
