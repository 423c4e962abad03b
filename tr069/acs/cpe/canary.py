"""The canary of a model: the first device whose WAN is changed, and what the others may do until it is back."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tr069 import guard
from tr069.acs.cpe.context import SessionContext, identity_of
from tr069.acs.cpe.session import CwmpSession
from tr069.acs.store.records import DesiredRecord
from tr069.client import ProvisioningState
from tr069.datamodel.values import same

logger = logging.getLogger(__name__)


def policy_of(context: SessionContext, session: CwmpSession) -> guard.ModelPolicy:
    facts = session.profile.guard
    # The canary itself may go on trying; it is the others that wait for it.
    canary = guard.Canary.NONE if is_waiting_canary(context, session) else _canary_of(context, session)[1]
    return guard.ModelPolicy(facts.allow_wan_off, canary, facts.allow_list)


def _canary_of(context: SessionContext, session: CwmpSession) -> tuple[str, guard.Canary]:
    return context.store.canaries.get(identity_of(session.inform).model, ('', guard.Canary.NONE))


def is_waiting_canary(context: SessionContext, session: CwmpSession) -> bool:
    if not context.store.canaries:
        return False
    holder, state = _canary_of(context, session)
    return holder == session.device_id and state is guard.Canary.WAITING


async def lose_canary(context: SessionContext, session: CwmpSession) -> None:
    """It came back, but only because somebody reset it: its WAN change is what cut it."""
    model = identity_of(session.inform).model
    logger.error('model %s: %s came back from its WAN change by a factory reset only', model, session.device_id)
    await context.store.set_canary(model, session.device_id, guard.Canary.LOST, context.clock())


async def confirm_canary(context: SessionContext, session: CwmpSession) -> None:
    """The model's first changed device is back, and its change has been read back: the others may follow.

    That it informed is not enough: the set may have been lost on the way, and then nothing has been tried. Nor is a
    restore that was verified, or another profile: the WAN change itself must be what reads as wanted. With those the
    device has ceased to be the canary: the next one may be it.
    """
    if not is_waiting_canary(context, session):
        return
    await context.store.refresh(session.device_id)  # another process may have been asked for something else meanwhile
    record = context.store.status_of(session.device_id)
    if record is None or record.state is not ProvisioningState.VERIFIED:
        return
    model, now = identity_of(session.inform).model, context.clock()
    if not record.restoring and _changes_wan(record, session.profile.guard.allow_list):
        await context.store.set_canary(model, session.device_id, guard.Canary.INFORMED, now)
    else:
        await context.store.release_canary(model, session.device_id, now)


def _changes_wan(record: DesiredRecord, allow_list: Sequence[str]) -> bool:
    """Whether the record holds a WAN value other than the one that was there before us."""
    return any(
        guard.classify(item, allow_list) is guard.Risk.WAN
        and item.name in record.before
        and not same(item, record.before[item.name])
        for item in record.values
    )


async def become_canary(context: SessionContext, session: CwmpSession) -> bool:
    model = identity_of(session.inform).model
    return await context.store.set_canary(model, session.device_id, guard.Canary.WAITING, context.clock())
