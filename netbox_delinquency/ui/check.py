"""What the last check of an enforcement point found, on the point's own page."""

from core.models import Job
from netbox.ui import panels

__all__ = ('LastCheckPanel',)


class LastCheckPanel(panels.Panel):
    """Findings of the newest ended job of that name, with the lines to add; for who may see that job."""

    template_name = 'netbox_delinquency/panels/last_check.html'

    def __init__(self, job_name: str, **kwargs):
        super().__init__(**kwargs)
        self.job_name = job_name

    def get_context(self, context):
        jobs = context['object'].jobs.filter(name=self.job_name, data__isnull=False)
        seen = Job.objects.restrict(context['request'].user, 'view').filter(pk__in=jobs)
        return {**super().get_context(context), 'job': seen.order_by('-created').first()}

    def should_render(self, context):
        return context['job'] is not None
