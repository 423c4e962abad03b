"""Bringing a device to its desired state: read, compare, save, guard, send, and in a later session verify."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tr069 import guard
from tr069.acs import desired as d
from tr069.acs.cpe.canary import become_canary, policy_of
from tr069.acs.cpe.context import SessionContext, identity_of
from tr069.acs.cpe.judging import judge
from tr069.acs.cpe.put_back import give_up, put_back, set_request
from tr069.acs.cpe.reading import NO_SUCH_NAME, read_each, read_values
from tr069.acs.cpe.session import BadAnswerError, CwmpSession
from tr069.acs.store.records import DesiredRecord
from tr069.client import ProvisioningState
from tr069.cwmp import messages as m
from tr069.cwmp.faults import Fault
from tr069.datamodel.values import differing, fits_type, unfit, unreadable_secrets

logger = logging.getLogger(__name__)


async def bring_to_desired_state(context: SessionContext, session: CwmpSession, record: DesiredRecord) -> None:
    """Bring the device to its desired state, one careful step: read, compare, save, guard, send."""
    store, now = context.store, context.clock()
    step = d.next_step(record, session.inform, now)
    if step is d.Step.NOTHING:
        return
    model = identity_of(session.inform).model
    quarantine = f'model {model} is quarantined: {known_fault}' if (known_fault := store.quarantined.get(model)) else ''
    if never_set := [item for item in record.asked if item.name not in record.before]:
        # Before anything is asked of the device: a path that nobody may set need not be there to be read.
        refusal = context.identities.conflict(session.device_id, now)
        refusal = refusal or (await store.conflicts_of([session.device_id], now)).get(session.device_id, '')
        refusal = refusal or guard.refusal_of(never_set, policy_of(context, session))
        if quarantine or refusal:
            state = ProvisioningState.QUARANTINED if quarantine else ProvisioningState.REFUSED
            await give_up(context, session, record, d.stopped(record, state, quarantine or refusal, now))
            return
    found = await read_values(session, [item.name for item in record.values])
    if isinstance(found, Fault) and record.saved:
        _, faults = await read_each(session, sorted(record.saved))
        gone = [name for name, fault in faults.items() if fault.code == NO_SUCH_NAME]
        if gone and record.restoring:
            message = f'the device no longer has {", ".join(gone)}; all else goes back'
            await give_up(context, session, record, d.stopped(record, ProvisioningState.FAILED, message, now))
            return
        record = record.without(gone)
        found = await read_values(session, [item.name for item in record.values])
    if isinstance(found, Fault):
        await _fault(context, session, record, found)
        return
    different = differing(record.values, found)
    if step in (d.Step.VERIFY, d.Step.CHECK_DRIFT) and not different:
        if record.state is not ProvisioningState.VERIFIED:
            await store.advance(record, d.verified(record, now))
        return
    if step is d.Step.VERIFY:
        record = await store.advance(record, _after_reading_otherwise(context, record, different, now))
        if record.state is not ProvisioningState.PENDING or now < record.not_before:
            return
    await _send(context, session, record, found, quarantine)


def _after_reading_otherwise(
    context: SessionContext, record: DesiredRecord, different: Sequence[str], now: float
) -> DesiredRecord:
    """Read back otherwise. An answer that was lost is no failed attempt: it is simply sent, now that it is known."""
    if record.state is ProvisioningState.SENDING:
        return replace(record, state=ProvisioningState.PENDING, not_before=0.0, changed_at=now)
    message = f'accepted, but reads otherwise: {", ".join(different)}'
    limits = context.settings
    return d.retry(record, message, now, max_attempts=limits.max_attempts, backoff_s=limits.backoff_s)


async def _send(
    context: SessionContext,
    session: CwmpSession,
    record: DesiredRecord,
    found: Mapping[str, m.ParameterValue],
    quarantine: str,
) -> None:
    """Set all of it. The guard judges what is new; what goes back goes back whatever becomes of that."""
    now = context.clock()
    unsaved = [item.name for item in record.values if item.name not in record.before]
    if missing := [name for name in unsaved if name not in found]:
        # Some CPEs leave names out: what cannot be saved cannot be put back, so it is not changed.
        message = f'the device does not show the present value of {", ".join(missing)}; nothing new was set'
        await give_up(context, session, record, d.stopped(record, ProvisioningState.FAILED, message, now))
        return
    if secret := unreadable_secrets(found[name] for name in unsaved):
        message = f'{", ".join(secret)} reads empty: it could not be put back as it was; nothing new was set'
        await give_up(context, session, record, d.stopped(record, ProvisioningState.FAILED, message, now))
        return
    typed = d.typed(record.values, found, boolean_as_number=session.profile.quirks.boolean_as_number)
    bad = {item.name for item in typed if not fits_type(item)}
    saving = d.as_saved(record.asked, found)
    wrong = unfit(saving[name] for name in unsaved if name in saving) or unfit(
        item for item in typed if item.name in bad - record.saved
    )
    if wrong:
        # Asked all the same, the device would fault, and its whole model be thought badly mapped.
        message = f'{wrong}: it could not be set or put back; nothing new was set'
        await give_up(context, session, record, d.stopped(record, ProvisioningState.REFUSED, message, now))
        return
    record = record.without(bad)  # saved so in another time: the device does not take it, and all else goes back
    different = differing(record.asked, found)
    new = [item for item in record.asked if item.name in different]
    verdict, kept, unread = await judge(context, session, new, record.going_back)
    if unread is not None:
        await _fault(context, session, record, unread)
        return
    record = record.without(kept)
    refusal = quarantine or ('' if verdict.allowed else verdict.reason)
    if new and not refusal and verdict.is_canary and not await become_canary(context, session):
        refusal = 'another device of the model is being tried first'
    if new and refusal:
        state = ProvisioningState.QUARANTINED if quarantine else ProvisioningState.REFUSED
        await give_up(context, session, record, d.stopped(record, state, refusal, now))
        return
    if not record.values:
        await context.store.advance(record, d.verified(record, now))
        return
    key = session.inform.value('.ManagementServer.ParameterKey')
    # Journal before send: from here on the saved values outlive us, and a lost answer is read before it is repeated.
    record = await context.store.advance(record, d.sending(record, found, key, now))
    # All of it, what reads as wanted too: a CPE that applies later (status 1) may still have another value to come.
    answer = await session.ask(set_request(session, record.values, found, record.revision))
    if isinstance(answer, Fault):
        await _fault(context, session, record, answer)
        return
    status = answer.status if isinstance(answer, m.StatusResponse) else None
    await context.store.advance(record, d.sent(record, status, context.clock()))
    if context.verify_soon is not None:
        context.verify_soon(session.device_id)


async def keep_bad_answer(context: SessionContext, session: CwmpSession, error: BadAnswerError) -> None:
    """The device came, and could not be worked with: said in its record, and tried again more seldom each time.

    What may have been sent is left to be read. Only what gives nothing back is given up in the end.
    """
    record = context.store.status_of(session.device_id)
    if record is None or record.state not in (ProvisioningState.PENDING, ProvisioningState.SENDING):
        return
    now, limits = context.clock(), context.settings
    if record.state is ProvisioningState.PENDING:
        most = sys.maxsize if record.restoring else limits.max_attempts
        new = d.retry(record, str(error), now, max_attempts=most, backoff_s=limits.backoff_s)
    else:
        new = replace(record, message=str(error), changed_at=now)
    await context.store.advance(record, new)


async def _fault(context: SessionContext, session: CwmpSession, record: DesiredRecord, fault: Fault) -> None:
    now, limits = context.clock(), context.settings
    new, guilty = d.after_fault(record, fault, now, max_attempts=limits.max_attempts, backoff_s=limits.backoff_s)
    if guilty:
        model = identity_of(session.inform).model
        logger.error('model %s is quarantined: %s faulted %s', model, guilty, fault)
        await context.store.quarantine(model, guilty, str(fault), session.device_id, now)
    if not record.restoring:
        await give_up(context, session, record, new)
    elif new.state is ProvisioningState.PENDING:
        await context.store.advance(record, new)  # as a whole, when the device is less busy
    else:
        is_back = await put_back(context, session, record)
        await context.store.advance(record, d.sent(record, None, now) if is_back else new)
