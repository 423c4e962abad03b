"""The smallest valid object of each model; keyword arguments override."""

from datetime import date
from itertools import count

from django.utils import timezone

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
    Restriction,
    ServicePlan,
    Subscriber,
)
from netbox_delinquency.models.places import identities_of
from netbox_delinquency.models.sides import OBSERVED, RESTRICTION
from netbox_delinquency.models.state import set_state, state_fields
from netbox_delinquency.runs.ownership import target_of
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
    defaults = {
        'name': f'Billing {number}',
        'slug': f'billing-{number}',
        'credential': f'billing-{number}',
        'heartbeat_minutes': None,
    }
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
        'mode': 'enforce',
        'checked_at': timezone.now(),
    }
    return EnforcementPoint.objects.create(**{**defaults, **values})


def intend(line, state):
    """What policy would make of a debt, or of its end, past policy."""
    due = None if state == AccessState.normal() else date(2026, 10, 1)
    Contract.objects.filter(pk=line.contract_id).update(oldest_due_date=due)
    set_state(line, 'intended', state)
    line.save(update_fields=state_fields('intended'))


def restrict(line, state=None, side='bras', baseline=None, **values):
    """What a run of ours would have left: an open restriction at the line's place, which is seen so."""
    state = state or line.seen_at(side)
    target = line.as_target(side)
    held = Restriction(
        point=line.point_at(side), identity=line.identity_at(side), side=side, address=line.point_at(side).host,
        target=target_of(target), noted={'point': line.point_at(side).parameters, 'line': dict(target.parameters)},
        baseline=baseline or {}, line=line, contract=line.contract, contract_name=str(line.contract),
        **{'taken_at': timezone.now(), **values},
    )  # fmt: skip
    set_state(held, 'state', state)
    held.save()
    set_state(line, OBSERVED[side], state)
    at = f'{OBSERVED[side]}_at'
    setattr(line, at, getattr(line, at) or timezone.now())
    setattr(line, RESTRICTION[side], held)
    line.save(update_fields=[*state_fields(OBSERVED[side]), at, RESTRICTION[side]])
    return held


def restrict_all():
    """All lines that are seen restricted are so by us."""
    for line in AccessLine.objects.exclude(observed_mode__in=('', 'normal')).filter(restriction=None):
        restrict(line)


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
    row = EnforcementChange(**{**defaults, **values})
    if 'point' not in values:
        row.be_about(row.line, values.get('channel', 'cpe' if row.line.point == row.line.acs else 'bras'))
    elif 'identity' not in values:
        row.identity, row.names = row.line.identity_at(row.channel), identities_of(row.line)
    # As the engine writes it: a row of a run that is under way, too.
    return EnforcementChange.objects.bulk_create([row])[0]


def make_event(**values):
    defaults = {
        'event_id': f'msg_{next(_number)}',
        'event_type': 'invoice.overdue',
        'body': '{"type": "invoice.overdue"}',
    }
    if 'source' not in values:
        defaults['source'] = make_source()
    return BillingEvent.objects.create(**{**defaults, **values})
