"""What a person does for a contract: give a trust unlock, ask for a review, end a hold before its time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from .choices import HoldKindChoices, PlanChangeStatusChoices
from .models import Contract, Hold, PlanChangeOrder
from .workflow import reevaluate

if TYPE_CHECKING:
    from users.models import User


__all__ = ('decide_plan_change', 'end_hold', 'give_trust_unlock', 'set_review')


@transaction.atomic
def give_trust_unlock(contract: Contract, reason: str, user: User, now: datetime, days: int | None = None) -> Hold:
    """Give access back for `days` (the policy's, where none are given); what follows is the stage of now.

    Raises `ValidationError` where the policy's days, gap or uses a year do not allow it, or nothing is restricted.
    """
    # The contract's row is the lock: of two that ask at once, one is within the gap of the other.
    contract = Contract.objects.select_for_update(of=('self',)).select_related('policy').get(pk=contract.pk)
    days = days or (contract.policy and contract.policy.trust_days) or 1
    hold = Hold(
        contract=contract, kind=HoldKindChoices.TRUST, reason=reason, approver=user, starts_at=now,
        ends_at=now + timedelta(days=days),
    )  # fmt: skip
    hold.full_clean()
    hold.save()
    return hold


@transaction.atomic
def set_review(contract: Contract, requested: bool, now: datetime) -> None:
    """Send the automatic decision to a person; until that is ended there is no escalation."""
    contract.advance(review_requested_at=now if requested else None)
    reevaluate(contract.pk)
    contract.refresh_from_db()


@transaction.atomic
def decide_plan_change(order: PlanChangeOrder, accepted: bool, now: datetime) -> None:
    """Take an offered plan, or decline it. Raises `ValidationError` where the offer is not open any more.

    The contract's lines keep the state they are in; one that is throttled is throttled by its new plan.
    """
    contract = Contract.objects.select_for_update(of=('self',)).get(pk=order.contract_id)
    order.refresh_from_db()
    if order.status != PlanChangeStatusChoices.OFFERED:
        raise ValidationError(_('The order is decided, and is history now: make a new one.'))
    if accepted and timezone.localdate(now) > order.offered_until:
        raise ValidationError(_('The offer was open until {day}: make a new one.').format(day=order.offered_until))
    if accepted and contract.plan_id != order.from_plan_id:
        raise ValidationError(_('The contract has another plan than when this was offered: make a new one.'))
    order.advance(
        status=PlanChangeStatusChoices.ACCEPTED if accepted else PlanChangeStatusChoices.DECLINED, decided_at=now
    )
    if accepted:
        contract.snapshot()
        contract.plan = order.to_plan
        contract.save()
        reevaluate(contract.pk)


def end_hold(hold: Hold, reason: str, now: datetime) -> None:
    """End an active hold; its contract is evaluated at once. Raises `ValidationError` for one that is not active."""
    if not hold.is_active(now):
        raise ValidationError(_('Hold {hold} is not active any more: there is nothing to end.').format(hold=hold))
    hold.advance(ended_at=now, end_reason=reason)
