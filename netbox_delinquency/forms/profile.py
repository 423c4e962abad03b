import csv
import json

from django import forms
from django.utils.translation import gettext_lazy as _

from nornir_tasks.cpes import TYPES, parse_values

__all__ = ('ProfileForm',)


class ProfileForm(forms.Form):
    """The parameters of a profile run, one a line as CSV, or a JSON list of the same rows."""

    name = forms.CharField(label=_('Name of the run'), max_length=100, required=False)
    values = forms.CharField(
        label=_('Parameters'),
        widget=forms.Textarea({'rows': 8, 'class': 'font-monospace', 'placeholder': 'Device.Time.NTPServer1,a.ntp.br'}),
        help_text=_(
            'One a line: full path, value, type ({types}; a string without one), separated by commas. '
            'Or a JSON list of such lists.'
        ).format(types=', '.join(TYPES)),
    )

    def clean_values(self):
        text = self.cleaned_data['values']
        try:
            rows = json.loads(text) if text.lstrip().startswith('[') else list(csv.reader(text.splitlines()))
            return parse_values([row for row in rows if row])
        except (ValueError, TypeError, csv.Error) as error:
            raise forms.ValidationError(str(error)) from error
