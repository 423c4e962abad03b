"""What is done in a session: first what was asked once (tasks), then the desired state. All of it guarded."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tr069 import guard
from tr069.acs import desired as d
from tr069.acs import tasks
from tr069.acs.cpe.session import Session, SessionLostError
from tr069.acs.settings import Desired
from tr069.acs.store.records import DesiredRecord, TaskRecord, TaskState
from tr069.acs.store.store import Store, SupersededError
from tr069.client import Standing
from tr069.cwmp import messages as m
from tr069.cwmp.faults import Fault
from tr069.datamodel.profiles import DeviceProfile, profile_for
from tr069.datamodel.resolver import as_tree, resolve
from tr069.datamodel.tree import Identity
from tr069.datamodel.values import SECRET, differing, same, untold_secrets

logger = logging.getLogger(__name__)

CALLED = '6 CONNECTION REQUEST'
NO_SUCH_NAME = 9005


@dataclass(frozen=True, slots=True)
class Workbench:
    """What the work needs, passed in. `connection_request_login` gives the user name and password to set on a CPE."""

    store: Store
    settings: Desired
    connection_request_login: Callable[[str], tuple[str, str]] | None = None
    verify_soon: Callable[[str], None] | None = None
    profiles: tuple[DeviceProfile, ...] = ()
    clock: Callable[[], float] = time.time


def identity_of(inform: m.Inform) -> Identity:
    device = inform.device
    software = inform.value('.DeviceInfo.SoftwareVersion') or ''
    return Identity(device.manufacturer, device.oui, device.product_class, software)


def has_work(bench: Workbench, session: Session) -> bool:
    """True where `run` would do anything at all: asked at every session, so it must cost nothing."""
    store, inform = bench.store, session.inform
    if store.tasks_of(session.device_id) or _needs_login(bench, inform) or inform.has(CALLED):
        return True
    if _waiting_canary(bench, session):
        return True
    record = store.status_of(session.device_id)
    return record is not None and d.next_step(record, inform, bench.clock()) is not d.Step.NOTHING


async def run(bench: Workbench, session: Session, before: asyncio.Task[None] | None = None) -> None:
    """Do all there is to do, in order. Ends quietly where the CPE goes away or something else was asked meanwhile.

    `before` is the work of the device's former session, which was cut off and may still have something to write down.
    """
    try:
        if before is not None:
            await asyncio.wait([before])
        if session.inform.has(CALLED):  # perhaps by another process, for what that one has been asked a moment ago
            await bench.store.refresh(session.device_id)
        if _needs_login(bench, session.inform):
            await _provision(bench, session)
        if session.inform.has('0 BOOTSTRAP') and _waiting_canary(bench, session):
            await _lose_canary(bench, session)
        for task in list(bench.store.tasks_of(session.device_id)):
            await _do_task(bench, session, task)
        record = bench.store.status_of(session.device_id)
        if record is not None:
            await _settle(bench, session, record)
        await _greet_canary(bench, session)
    except SessionLostError as error:
        logger.info('%s', error)
    except SupersededError as error:
        logger.info('%s; the next session goes by that', error)
    finally:
        session.finish()


# --- reading ----------------------------------------------------------------------------------------------------------


async def read_values(session: Session, names: Sequence[str]) -> dict[str, m.ParameterValue] | Fault:
    """Read names, as many at a time as the model takes; the first fault ends it."""
    found: dict[str, m.ParameterValue] = {}
    step = session.profile.quirks.max_names
    for start in range(0, len(names), step):
        answer = await session.ask(m.GetParameterValues(tuple(names[start : start + step])))
        if isinstance(answer, Fault):
            return answer
        if isinstance(answer, m.GetParameterValuesResponse):
            found.update((item.name, item) for item in answer.values)
    return found


async def _read_each(session: Session, names: Sequence[str]) -> tuple[dict[str, m.ParameterValue], dict[str, Fault]]:
    """Read all that can be read, one by one where they cannot be together; and the faults of the others, by name."""
    together = await read_values(session, names)
    if not isinstance(together, Fault):
        return together, {}
    found: dict[str, m.ParameterValue] = {}
    faults: dict[str, Fault] = {}
    for name in names:
        one = await read_values(session, (name,))
        if isinstance(one, Fault):
            faults[name] = one
        else:
            found |= one
    return found, faults


async def _judge(
    bench: Workbench, session: Session, values: Sequence[m.ParameterValue], saved: Sequence[m.ParameterValue] = ()
) -> tuple[guard.Verdict, tuple[str, ...], Fault | None]:
    """The guard's verdict on new values, and the names of `saved` ones that stay as they are, by a fresh read.

    Parts of the tree that the device does not have are just not there; any other fault is the third of the answer.
    """
    policy = policy_of(bench, session)
    tree: dict[str, str] = {}
    unread = None
    for path in guard.reads_needed([*values, *saved], policy.vouched):
        found = await read_values(session, (path,))
        if not isinstance(found, Fault):
            tree.update((name, item.value) for name, item in found.items())
        elif found.code != NO_SUCH_NAME:
            unread = found
    verdict = guard.judge(values, tree, policy, source_address=session.address)
    kept = guard.kept_back(saved, tree, source_address=session.address, is_blind=unread is not None)
    return verdict, kept, unread


def policy_of(bench: Workbench, session: Session) -> guard.ModelPolicy:
    facts = session.profile.guard
    # The canary itself may go on trying; it is the others that wait for it.
    canary = guard.Canary.NONE if _waiting_canary(bench, session) else _canary_of(bench, session)[1]
    return guard.ModelPolicy(facts.allow_wan_off, canary, facts.vouched)


def _canary_of(bench: Workbench, session: Session) -> tuple[str, guard.Canary]:
    return bench.store.canaries.get(identity_of(session.inform).model, ('', guard.Canary.NONE))


def _waiting_canary(bench: Workbench, session: Session) -> bool:
    if not bench.store.canaries:
        return False
    holder, standing = _canary_of(bench, session)
    return holder == session.device_id and standing is guard.Canary.WAITING


async def _lose_canary(bench: Workbench, session: Session) -> None:
    """It came back, but only because somebody reset it: its WAN change is what cut it."""
    model = identity_of(session.inform).model
    logger.error('model %s: %s came back from its WAN change by a factory reset only', model, session.device_id)
    await bench.store.set_canary(model, session.device_id, guard.Canary.LOST, bench.clock())


async def _greet_canary(bench: Workbench, session: Session) -> None:
    """The model's first changed device is back, and its change has been read back: the others may follow.

    That it informed is not enough: the set may have been lost on the way, and then nothing has been tried. Nor is a
    restore that was verified, or another profile: the WAN change itself must be what reads as wanted. With those the
    device has ceased to be the canary: the next one may be it.
    """
    if not _waiting_canary(bench, session):
        return
    await bench.store.refresh(session.device_id)  # another process may have been asked for something else meanwhile
    record = bench.store.status_of(session.device_id)
    if record is None or record.standing is not Standing.VERIFIED:
        return
    model, now = identity_of(session.inform).model, bench.clock()
    if not record.restoring and _changes_wan(record, session.profile.guard.vouched):
        await bench.store.set_canary(model, session.device_id, guard.Canary.INFORMED, now)
    else:
        await bench.store.release_canary(model, session.device_id, now)


def _changes_wan(record: DesiredRecord, vouched: Sequence[str]) -> bool:
    """Whether the record holds a WAN value other than the one that was there before us."""
    return any(
        guard.classify(item, vouched) is guard.Risk.WAN
        and item.name in record.before
        and not same(item, record.before[item.name])
        for item in record.values
    )


# --- first contact ----------------------------------------------------------------------------------------------------


def _needs_login(bench: Workbench, inform: m.Inform) -> bool:
    """After a factory reset it is gone; and a device that comes from another ACS has that one's until it boots."""
    return bench.connection_request_login is not None and (inform.has('0 BOOTSTRAP') or inform.has('1 BOOT'))


async def _provision(bench: Workbench, session: Session) -> None:
    """Give the device the login under which we call it: a factory reset has wiped it."""
    assert bench.connection_request_login is not None
    username, password = bench.connection_request_login(session.device_id)
    root = session.inform.root
    if root not in ('InternetGatewayDevice', 'Device'):
        return
    prefix = f'{root}.ManagementServer.ConnectionRequest'
    key = session.inform.value('.ManagementServer.ParameterKey') or ''
    answer = await session.ask(
        m.SetParameterValues(
            (m.ParameterValue(f'{prefix}Username', username), m.ParameterValue(f'{prefix}Password', password)), key
        )
    )
    if isinstance(answer, Fault):
        logger.warning('%s does not take a connection request login: %s', session.device_id, answer)


# --- tasks ------------------------------------------------------------------------------------------------------------


async def _do_task(bench: Workbench, session: Session, task: TaskRecord) -> None:
    now = bench.clock()
    if now > task.expires_at:
        expired = replace(task, state=TaskState.EXPIRED, answer={'error': 'the device did not come in time'})
        await bench.store.update_task(expired, now)
        return
    if not tasks.is_repeatable(task.request):
        # Journal before send: whoever finds this later, in this process or another, does not do it twice.
        unknown = {'error': 'there was no answer: whether it was done is unknown'}
        task = replace(task, state=TaskState.SENDING, answer=unknown)
        await bench.store.update_task(task, now)
    try:
        answer = await _perform(bench, session, task.request)
    except SessionLostError:
        if task.state is TaskState.SENDING:
            await bench.store.update_task(replace(task, state=TaskState.FAILED), bench.clock())
        raise
    if task.request['method'] == tasks.READ_TREE and 'error' not in answer:
        await _keep_levers(bench, session, answer)
    state = TaskState.FAILED if 'error' in answer else TaskState.DONE
    await bench.store.update_task(replace(task, state=state, answer=answer), bench.clock())


async def _keep_levers(bench: Workbench, session: Session, answer: Mapping[str, Any]) -> None:
    """What the tree shows this device to be able to do: for whoever asked, and for when it does not come."""
    identity = identity_of(session.inform)
    tree = as_tree(m.as_values(answer['values']), answer['writable'])
    report = asdict(resolve(tree, profile_for(identity, bench.profiles)))
    await bench.store.keep_levers(session.device_id, identity.software_version, json.dumps(report), bench.clock())


async def _perform(bench: Workbench, session: Session, request: Mapping[str, Any]) -> dict[str, Any]:
    if request['method'] == tasks.READ:
        found = await read_values(session, request['names'])
        return {'error': f'fault {found}'} if isinstance(found, Fault) else tasks.values_answer(found.values())
    if request['method'] == tasks.READ_TREE:
        return await _read_tree(session)
    rpc = tasks.to_rpc(request)
    if isinstance(rpc, m.SetParameterValues):
        verdict, _, _ = await _judge(bench, session, rpc.values)
        if not verdict.allowed:
            return {'error': f'refused: {verdict.reason}'}
        if verdict.is_canary:  # a task is not read back, so it could never prove that the model survives
            return {'error': "refused: a model's first WAN change is made by a profile, which is verified"}
    elif isinstance(rpc, m.AddObject | m.DeleteObject):
        # An object under a WAN or the firewall may carry management as much as a value does.
        risk = guard.classify(m.ParameterValue(rpc.path + 'x', ''), policy_of(bench, session).vouched)
        if risk is not guard.Risk.LOW:
            return {'error': f'refused: {rpc.path} is not known to spare management'}
    return tasks.answer_of(await session.ask(rpc))


# The parts of a tree where levers and the signs of management live.
_LEVER_PARTS = {
    'InternetGatewayDevice': (
        'WANDevice', 'QueueManagement', 'CaptivePortal', 'Firewall', 'LANDevice', 'Layer3Forwarding',
        'ManagementServer', 'X_HW_Security',
    ),
    'Device': (
        'QoS', 'CaptivePortal', 'Firewall', 'DHCPv4', 'Ethernet', 'WiFi', 'PPP', 'IP', 'Routing', 'ManagementServer',
    ),
}  # fmt: skip


# What no lever needs, and nobody should keep: pass phrases, and the names of the people's own devices.
_PRIVATE = re.compile(rf'{SECRET.pattern}|\.Hosts\.', re.IGNORECASE)


async def _read_tree(session: Session) -> dict[str, Any]:
    """Values and writability of every part that may hold a lever. Parts the device refuses are named."""
    root = session.inform.root
    parts: Iterable[str] = _LEVER_PARTS.get(root, ())
    listed = await session.ask(m.GetParameterNames(f'{root}.', next_level=True))
    if isinstance(listed, m.GetParameterNamesResponse) and listed.parameters:
        known = {item.name.rstrip('.').rpartition('.')[2] for item in listed.parameters}
        parts = [part for part in parts if part in known]
    values: list[m.ParameterValue] = []
    writable: dict[str, bool] = {}
    refused: list[str] = []
    for part in parts:
        path = f'{root}.{part}.'
        read = await session.ask(m.GetParameterValues((path,)))
        if not isinstance(read, m.GetParameterValuesResponse):
            refused.append(path)
            continue
        values.extend(read.values)
        names = await session.ask(m.GetParameterNames(path, next_level=False))
        if isinstance(names, m.GetParameterNamesResponse):
            writable.update((item.name, item.writable) for item in names.parameters)
    harmless = [item for item in values if not _PRIVATE.search(item.name)]
    return tasks.values_answer(harmless) | {'writable': writable, 'refused': refused}


# --- desired state ----------------------------------------------------------------------------------------------------


async def _settle(bench: Workbench, session: Session, record: DesiredRecord) -> None:
    """Bring the device to its desired state, one careful step: read, compare, save, guard, send."""
    store, now = bench.store, bench.clock()
    step = d.next_step(record, session.inform, now)
    if step is d.Step.NOTHING:
        return
    model = identity_of(session.inform).model
    quarantine = f'model {model} is quarantined: {known_fault}' if (known_fault := store.quarantined.get(model)) else ''
    if never_set := [item for item in record.asked if item.name not in record.before]:
        # Before anything is asked of the device: a path that nobody may set need not be there to be read.
        refusal = guard.refusal_of(never_set, policy_of(bench, session))
        if quarantine or refusal:
            standing = Standing.QUARANTINED if quarantine else Standing.REFUSED
            await _give_up(bench, session, record, d.stopped(record, standing, quarantine or refusal, now))
            return
    found = await read_values(session, [item.name for item in record.values])
    if isinstance(found, Fault) and record.saved:
        _, faults = await _read_each(session, sorted(record.saved))
        gone = [name for name, fault in faults.items() if fault.code == NO_SUCH_NAME]
        if gone and record.restoring:
            message = f'the device no longer has {", ".join(gone)}; all else goes back'
            await _give_up(bench, session, record, d.stopped(record, Standing.FAILED, message, now))
            return
        record = record.without(gone)
        found = await read_values(session, [item.name for item in record.values])
    if isinstance(found, Fault):
        await _fault(bench, session, record, found)
        return
    different = differing(record.values, found)
    if step in (d.Step.VERIFY, d.Step.CHECK_DRIFT) and not different:
        if record.standing is not Standing.VERIFIED:
            await store.advance(record, d.verified(record, now))
        return
    if step is d.Step.VERIFY:
        record = await store.advance(record, _as_sent_in_vain(bench, record, different, now))
        if record.standing is not Standing.PENDING or now < record.not_before:
            return
    await _send(bench, session, record, found, quarantine)


def _as_sent_in_vain(bench: Workbench, record: DesiredRecord, different: Sequence[str], now: float) -> DesiredRecord:
    """Read back otherwise. An answer that was lost is no failed attempt: it is simply sent, now that it is known."""
    if record.standing is Standing.SENDING:
        return replace(record, standing=Standing.PENDING, not_before=0.0, changed_at=now)
    message = f'accepted, but reads otherwise: {", ".join(different)}'
    limits = bench.settings
    return d.retry(record, message, now, max_attempts=limits.max_attempts, backoff_s=limits.backoff_s)


async def _send(
    bench: Workbench, session: Session, record: DesiredRecord, found: Mapping[str, m.ParameterValue], quarantine: str
) -> None:
    """Set all of it. The guard judges what is new; what goes back goes back whatever becomes of that."""
    now = bench.clock()
    unsaved = [item.name for item in record.values if item.name not in record.before]
    if untold := [name for name in unsaved if name not in found]:
        # Some CPEs leave names out: what cannot be saved cannot be put back, so it is not changed.
        message = f'the device does not tell the present value of {", ".join(untold)}; nothing new was set'
        await _give_up(bench, session, record, d.stopped(record, Standing.FAILED, message, now))
        return
    if secret := untold_secrets(found[name] for name in unsaved):
        message = f'{", ".join(secret)} reads empty: it could not be put back as it was; nothing new was set'
        await _give_up(bench, session, record, d.stopped(record, Standing.FAILED, message, now))
        return
    different = differing(record.asked, found)
    new = [item for item in record.asked if item.name in different]
    verdict, kept, unread = await _judge(bench, session, new, record.going_back)
    if unread is not None:
        await _fault(bench, session, record, unread)
        return
    record = record.without(kept)
    refusal = quarantine or ('' if verdict.allowed else verdict.reason)
    if new and not refusal and verdict.is_canary and not await _become_canary(bench, session):
        refusal = 'another device of the model is being tried first'
    if new and refusal:
        standing = Standing.QUARANTINED if quarantine else Standing.REFUSED
        await _give_up(bench, session, record, d.stopped(record, standing, refusal, now))
        return
    if not record.values:
        await bench.store.advance(record, d.verified(record, now))
        return
    key = session.inform.value('.ManagementServer.ParameterKey')
    # Journal before send: from here on the saved values outlive us, and a lost answer is read before it is repeated.
    record = await bench.store.advance(record, d.sending(record, found, key, now))
    # All of it, what reads as wanted too: a CPE that applies later (status 1) may still have another value to come.
    answer = await session.ask(_setting(session, record.values, found, record.revision))
    if isinstance(answer, Fault):
        await _fault(bench, session, record, answer)
        return
    status = answer.status if isinstance(answer, m.StatusResponse) else None
    await bench.store.advance(record, d.sent(record, status, bench.clock()))
    if bench.verify_soon is not None:
        bench.verify_soon(session.device_id)


def _setting(
    session: Session, values: Sequence[m.ParameterValue], found: Mapping[str, m.ParameterValue], key: str
) -> m.SetParameterValues:
    typed = d.typed(values, found, boolean_as_number=session.profile.quirks.boolean_as_number)
    return m.SetParameterValues(typed, key)


async def _give_up(bench: Workbench, session: Session, record: DesiredRecord, stopped: DesiredRecord) -> None:
    """Write down that it came to nothing; what was to go back with it goes back first.

    Who has paid does not wait for a value of somebody else's. Where the session is lost, all is done once more.
    """
    await _put_back(bench, session, record)
    await bench.store.advance(record, stopped)


async def _put_back(bench: Workbench, session: Session, record: DesiredRecord) -> bool:
    """Set the saved values by themselves, one by one if it must be. True where the device has all of them now."""
    saved = record.going_back
    if not saved:
        return True
    found, faults = await _read_each(session, [item.name for item in saved])
    _, kept, _ = await _judge(bench, session, (), saved)
    back = [item for item in saved if item.name in found and item.name not in kept]
    key = record.before_key or ''
    if back and isinstance(await session.ask(_setting(session, back, found, key)), Fault):
        for item in back:
            answer = await session.ask(_setting(session, [item], found, key))
            if isinstance(answer, Fault) and differing([item], found):
                logger.warning('%s does not take back what it had: %s', session.device_id, answer)
                faults[item.name] = answer
    return not faults and not kept


async def _become_canary(bench: Workbench, session: Session) -> bool:
    model = identity_of(session.inform).model
    return await bench.store.set_canary(model, session.device_id, guard.Canary.WAITING, bench.clock())


async def _fault(bench: Workbench, session: Session, record: DesiredRecord, fault: Fault) -> None:
    now, limits = bench.clock(), bench.settings
    new, guilty = d.after_fault(record, fault, now, max_attempts=limits.max_attempts, backoff_s=limits.backoff_s)
    if guilty:
        model = identity_of(session.inform).model
        logger.error('model %s is quarantined: %s faulted %s', model, guilty, fault)
        await bench.store.quarantine(model, guilty, str(fault), session.device_id, now)
    if not record.restoring:
        await _give_up(bench, session, record, new)
    elif new.standing is Standing.PENDING:
        await bench.store.advance(record, new)  # as a whole, when the device is less busy
    else:
        is_back = await _put_back(bench, session, record)
        await bench.store.advance(record, d.sent(record, None, now) if is_back else new)
