"""One valid object of each model, for the matrix of rights."""

from datetime import timedelta

from django.utils import timezone
from users.models import User

from netbox_delinquency.models import Calendar, CalendarDate, GraceRule, Hold, Notice, PlanChangeOrder

from .factories import make_change, make_contract, make_event, make_line, make_plan, make_point, make_policy, restrict

__all__ = ('make_one_of_each',)


def make_one_of_each():
    """By the name of the model; the settings are not among them."""
    now, policy = timezone.now(), make_policy()
    contract = make_contract(policy=policy)
    line = make_line(
        contract=contract, bras=make_point(), acs=make_point(driver='acs_embedded', host_key=''), cwmp_id='00AA11-R-1',
        observed_mode='blocked', observed_at=now,
    )  # fmt: skip
    row = make_change(line=line)
    calendar = Calendar.objects.create(name='Recife', country='BR', time_zone='America/Recife')
    values = {'contract': contract, 'kind': 'dispute', 'reason': 'x', 'ends_at': now + timedelta(days=20)}
    made = [
        contract, contract.subscriber, contract.plan, contract.source, policy, policy.stages.first(), line, line.acs,
        row, row.run, restrict(line), make_event(source=contract.source, contract=contract), calendar,
        CalendarDate.objects.create(calendar=calendar, date='2027-01-25', name='City'),
        GraceRule.objects.create(policy=policy, tier='gold', extra_days=3),
        Notice.objects.create(contract=contract, kind='suspension', reference='N-1', delivered_at=now, asserted_by='b'),
        Hold.objects.create(**values, approver=User.objects.create_user('giver')),
        PlanChangeOrder.objects.create(
            contract=contract, to_plan=make_plan(down_kbps=9_000, up_kbps=4_000, throttled_down_kbps=700), reason='x',
            offered_until=timezone.localdate(),
        ),
    ]  # fmt: skip
    return {each._meta.model_name: each for each in made}
