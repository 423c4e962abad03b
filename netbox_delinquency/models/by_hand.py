"""Who is at work, for what may not be claimed in another's name."""

from django.contrib.auth.models import AbstractBaseUser
from netbox.context import current_request

__all__ = ('user_at_work',)


def user_at_work() -> AbstractBaseUser | None:
    """The user whose request a page, REST or an import is answering; none in jobs, ingest and a shell."""
    request = current_request.get()
    user = getattr(request, 'user', None)
    return user if user is not None and user.is_authenticated else None
