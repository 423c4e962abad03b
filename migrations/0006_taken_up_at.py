from datetime import datetime

from django.db import migrations, models
from django.db.models import F, JSONField, Value
from django.db.models.expressions import CombinedExpression

WORKERS = 'workers since '


def out_of_the_executor(apps, schema_editor):
    """Since when the workers had a run was part of its executor, and a refusal part of what was read back."""
    runs = apps.get_model('netbox_delinquency', 'EnforcementRun').objects
    for run in runs.filter(executor__startswith=WORKERS).iterator():
        since = datetime.fromisoformat(run.executor.removeprefix(WORKERS))
        runs.filter(pk=run.pk).update(executor='', taken_up_at=since)
    changes = apps.get_model('netbox_delinquency', 'EnforcementChange').objects
    without = CombinedExpression(F('after'), '-', Value('refused'), output_field=JSONField())
    changes.filter(after__refused=True).update(refused=True, after=without)


class Migration(migrations.Migration):

    dependencies = [
        ('netbox_delinquency', '0005_took_effect'),
    ]

    operations = [
        migrations.AddField(
            model_name='enforcementrun',
            name='taken_up_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='enforcementchange',
            name='refused',
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.RunPython(out_of_the_executor, migrations.RunPython.noop),
    ]
