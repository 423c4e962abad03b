from django.urls import include, path
from utilities.urls import get_model_urls

from . import views  # noqa: F401 - registers the views

# As in the REST API.
PATHS = {
    'subscribers': 'subscriber',
    'plans': 'serviceplan',
    'contracts': 'contract',
    'access-lines': 'accessline',
    'enforcement-points': 'enforcementpoint',
    'policies': 'delinquencypolicy',
    'policy-stages': 'policystage',
    'runs': 'enforcementrun',
    'changes': 'enforcementchange',
    'restrictions': 'restriction',
    'billing-sources': 'billingsource',
    'billing-events': 'billingevent',
    'calendars': 'calendar',
    'calendar-dates': 'calendardate',
    'notices': 'notice',
    'holds': 'hold',
    'grace-rules': 'gracerule',
    'plan-change-orders': 'planchangeorder',
    'settings': 'enforcementsettings',
}

urlpatterns = [
    pattern
    for prefix, model in PATHS.items()
    for pattern in (
        path(f'{prefix}/', include(get_model_urls('netbox_delinquency', model, detail=False))),
        path(f'{prefix}/<int:pk>/', include(get_model_urls('netbox_delinquency', model))),
    )
]
