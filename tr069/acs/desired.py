"""What to do next about a device's desired state. Pure: no socket, no database, `now` is an argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from tr069.acs.store.records import DesiredRecord
from tr069.client import ProvisioningState, ValueProfile
from tr069.cwmp.faults import Advice, Fault, advise, guilty_path
from tr069.cwmp.messages import Inform, ParameterValue
from tr069.guard import left_out, truthy

BACKOFF_LIMIT_S = 24 * 3600.0
_UNDER_WAY = (ProvisioningState.PENDING, ProvisioningState.SENDING, ProvisioningState.SENT, ProvisioningState.VERIFIED)


class Step(Enum):
    NOTHING = auto()
    APPLY = auto()  # read, save, guard, send
    VERIFY = auto()  # sent in an earlier session: read back
    CHECK_DRIFT = auto()  # was verified, but the ParameterKey is not ours any more: read, and apply where it differs


def next_step(record: DesiredRecord, inform: Inform, now: float) -> Step:
    """What this session should do; a factory reset makes any kept profile due again (TR-069 `0 BOOTSTRAP`)."""
    reset = inform.has('0 BOOTSTRAP')
    if record.state in (ProvisioningState.SENDING, ProvisioningState.SENT):
        return Step.VERIFY
    if record.state is ProvisioningState.PENDING:
        return Step.APPLY if reset or now >= record.not_before else Step.NOTHING
    if record.state is ProvisioningState.VERIFIED and not record.restoring:
        if reset:
            return Step.APPLY
        key = inform.value('.ManagementServer.ParameterKey')
        # Only a key that came and is another's is drift: some CPEs leave it out of the Inform.
        if key is not None and key != record.revision:
            return Step.CHECK_DRIFT
    return Step.NOTHING


def typed(
    wanted: Sequence[ParameterValue], found: Mapping[str, ParameterValue], *, boolean_as_number: bool = True
) -> tuple[ParameterValue, ...]:
    """The values as this device wants them: in its own types (a wrong one is fault 9006), booleans in its own way."""
    return tuple(_as_device_has_it(item, found.get(item.name), boolean_as_number) for item in wanted)


def _as_device_has_it(wanted: ParameterValue, found: ParameterValue | None, boolean_as_number: bool) -> ParameterValue:
    kind = found.type if found is not None and found.type else wanted.type
    value = wanted.value
    if kind.endswith(':boolean') and value.strip().lower() in ('0', '1', 'true', 'false'):
        value = (('0', '1') if boolean_as_number else ('false', 'true'))[truthy(value)]
    return ParameterValue(wanted.name, value, kind)


# --- asked from the northbound side -----------------------------------------------------------------------------------


def ask(known: DesiredRecord | None, device_id: str, profile: ValueProfile, now: float) -> DesiredRecord:
    """The record for a new profile. The same revision once more changes nothing while it is under way or verified.

    What an earlier profile changed and this one does not mention goes back to what it was; so does, now that it may,
    what a restore had to leave as it was.
    """
    is_same = (
        known is not None
        and not known.restoring
        and (known.profile, known.revision) == (profile.name, profile.revision)
    )
    if is_same and known is not None and known.state in _UNDER_WAY:
        return known
    finished = known is not None and known.restoring and known.state is ProvisioningState.VERIFIED
    restored = {item.name for item in known.values} if known is not None and finished else set()
    before = {} if known is None else {name: item for name, item in known.before.items() if name not in restored}
    named = {item.name for item in profile.values}
    returning = tuple(item for name, item in before.items() if name not in named)
    return DesiredRecord(
        device_id,
        profile.name,
        profile.revision,
        profile.values + returning,
        saved=frozenset(item.name for item in returning),
        before=before,
        before_key=None if known is None or finished else known.before_key,
        note=profile.note,
        changed_at=now,
    )


def ask_restore(known: DesiredRecord, now: float) -> DesiredRecord:
    """The record that puts back what was saved. Where nothing was ever sent there is nothing to put back."""
    if known.restoring and known.state in _UNDER_WAY and len(known.values) == len(known.before):
        return known
    nothing_sent = not known.before
    return replace(
        known,
        values=tuple(known.before.values()),
        saved=frozenset(known.before),
        revision=known.before_key or '',
        note='',
        restoring=True,
        state=ProvisioningState.VERIFIED if nothing_sent else ProvisioningState.PENDING,
        message='nothing had been changed' if nothing_sent else '',
        attempts=0,
        not_before=0.0,
        changed_at=now,
    )


# --- what came of it --------------------------------------------------------------------------------------------------


def as_saved(asked: Sequence[ParameterValue], found: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    """What was found of the asked values, each with a type: the asked one where the device gave none."""
    return {
        item.name: value if value.type else value._replace(type=item.type)
        for item in asked
        if (value := found.get(item.name)) is not None
    }


def sending(record: DesiredRecord, found: Mapping[str, ParameterValue], key: str | None, now: float) -> DesiredRecord:
    """About to be sent. Saved values are written once: what we find later is our own doing, or a factory default."""
    before = dict(record.before)
    for name, value in as_saved(record.values, found).items():
        before.setdefault(name, value)
    before_key = record.before_key if record.before_key is not None else key
    return replace(
        record, before=before, before_key=before_key, state=ProvisioningState.SENDING, message='', changed_at=now
    )


def sent(record: DesiredRecord, status: int | None, now: float) -> DesiredRecord:
    message = 'the device applies it later' if status == 1 else ''
    return replace(record, state=ProvisioningState.SENT, message=message, changed_at=now)


def verified(record: DesiredRecord, now: float) -> DesiredRecord:
    message = left_out(record.before, record.values)
    return replace(
        record, state=ProvisioningState.VERIFIED, message=message, attempts=0, not_before=0.0, changed_at=now
    )


def stopped(record: DesiredRecord, state: ProvisioningState, message: str, now: float) -> DesiredRecord:
    return replace(record, state=state, message=message, changed_at=now)


def retry(record: DesiredRecord, message: str, now: float, *, max_attempts: int, backoff_s: float) -> DesiredRecord:
    """Again later, with the wait doubled each time; after `max_attempts` it has failed."""
    attempts = record.attempts + 1
    if attempts >= max_attempts:
        return replace(record, state=ProvisioningState.FAILED, attempts=attempts, message=message, changed_at=now)
    wait = min(backoff_s * 2 ** (attempts - 1), BACKOFF_LIMIT_S)
    return replace(
        record,
        state=ProvisioningState.PENDING,
        attempts=attempts,
        not_before=now + wait,
        message=message,
        changed_at=now,
    )


def after_fault(
    record: DesiredRecord, fault: Fault, now: float, *, max_attempts: int, backoff_s: float
) -> tuple[DesiredRecord, str]:
    """The record after a CPE's fault, and the path for which the model must be quarantined (or an empty string)."""
    advice = advise(fault)
    if advice is Advice.RETRY:
        return retry(record, f'fault {fault}', now, max_attempts=max_attempts, backoff_s=backoff_s), ''
    guilty = guilty_path(fault)
    path = guilty or ', '.join(item.name for item in record.asked)
    # A value that was there before us is no part of the model's map.
    if advice is Advice.QUARANTINE_MODEL and path and guilty not in record.saved:
        message = f"fault {fault}: the model's map is wrong at {path}"
        return stopped(record, ProvisioningState.QUARANTINED, message, now), path
    bare = ' and did not say which value' if fault.code == 9003 and not fault.parameters else ''
    return stopped(record, ProvisioningState.FAILED, f'the device refused with fault {fault}{bare}', now), ''
