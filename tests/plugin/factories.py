"""The smallest valid object of each model; keyword arguments override."""

from datetime import date
from itertools import count

from netbox_delinquency.choices import AccessModeChoices, StageActionChoices
from netbox_delinquency.models import (
    AccessLine,
    BillingEvent,
    BillingSource,
    Contract,
    DelinquencyPolicy,
    EnforcementChange,
    EnforcementPoint,
    EnforcementRun,
    PolicyStage,
    ServicePlan,
    Subscriber,
)
from netbox_delinquency.models.state import set_state, state_fields
from nornir_tasks.change import AccessState

_number = count(1)


def make_subscriber(**values):
    return Subscriber.objects.create(**{'external_id': f'S{next(_number)}', **values})


def make_plan(**values):
    defaults = {
        'name': f'Fibre {next(_number)}',
        'down_kbps': 100_000,
        'up_kbps': 50_000,
        'throttled_down_kbps': 1_000,
        'throttled_up_kbps': 500,
        'parameters': {'routeros': {'profile': 'fibre-100', 'throttled_profile': 'reduced'}},
    }
    return ServicePlan.objects.create(**{**defaults, **values})


def make_source(**values):
    number = next(_number)
    defaults = {'name': f'Billing {number}', 'slug': f'billing-{number}', 'credential': f'billing-{number}'}
    return BillingSource.objects.create(**{**defaults, **values})


def make_policy(stages=((15, StageActionChoices.THROTTLE), (30, StageActionChoices.BLOCK)), **values):
    policy = DelinquencyPolicy.objects.create(**{'name': f'Policy {next(_number)}', **values})
    for after_days, action in stages:
        PolicyStage.objects.create(policy=policy, after_days=after_days, action=action)
    return policy


def make_contract(**values):
    defaults = {'external_id': f'C{next(_number)}'}
    for name, make in (('subscriber', make_subscriber), ('source', make_source), ('plan', make_plan)):
        if name not in values:
            defaults[name] = make()
    return Contract.objects.create(**{**defaults, **values})


def make_point(**values):
    defaults = {
        'name': f'bras-{next(_number)}',
        'driver': 'routeros',
        'address': '192.0.2.1',
        'credential': 'bras',
        'host_key': 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU',
    }
    return EnforcementPoint.objects.create(**{**defaults, **values})


def intend(line, state):
    """What policy would make of a debt, or of its end, past policy."""
    due = None if state == AccessState.normal() else date(2026, 10, 1)
    Contract.objects.filter(pk=line.contract_id).update(oldest_due_date=due)
    set_state(line, 'intended', state)
    line.save(update_fields=state_fields('intended'))


def make_line(**values):
    defaults = {'username': f'user{next(_number)}'}
    if 'contract' not in values:
        defaults['contract'] = make_contract()
    if 'bras' not in values and 'acs' not in values:
        defaults['bras'] = make_point()
    return AccessLine.objects.create(**{**defaults, **values})


def make_run(**values):
    return EnforcementRun.objects.create(**{'name': f'Run {next(_number)}', **values})


def make_change(**values):
    """A row of a planned run that blocks a line."""
    defaults = {'desired_mode': AccessModeChoices.BLOCKED}
    for name, make in (('run', make_run), ('line', make_line)):
        if name not in values:
            defaults[name] = make()
    return EnforcementChange.objects.create(**{**defaults, **values})


def make_event(**values):
    defaults = {
        'event_id': f'msg_{next(_number)}',
        'event_type': 'invoice.overdue',
        'body': '{"type": "invoice.overdue"}',
    }
    if 'source' not in values:
        defaults['source'] = make_source()
    return BillingEvent.objects.create(**{**defaults, **values})
