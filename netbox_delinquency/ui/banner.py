"""What everybody is to see at runs: that enforcement is stopped, and why."""

from django.template.loader import render_to_string

from ..models import EnforcementSettings

__all__ = ('stopped_banner',)


def stopped_banner() -> str:
    """Empty while enforcement is not stopped."""
    settings = EnforcementSettings.load()
    if not settings.stopped:
        return ''
    return render_to_string('netbox_delinquency/inc/stopped.html', {'settings': settings})
