"""Tasks in a session: one RPC each, guarded, and its answer kept."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from tr069 import guard
from tr069.acs import tasks
from tr069.acs.cpe.canary import policy_of
from tr069.acs.cpe.context import SessionContext, identity_of
from tr069.acs.cpe.judging import judge
from tr069.acs.cpe.reading import read_values
from tr069.acs.cpe.session import BadAnswerError, CwmpSession, SessionLostError
from tr069.acs.store.records import TaskRecord, TaskState
from tr069.cwmp import messages as m
from tr069.cwmp.faults import Fault
from tr069.datamodel.profiles import profile_for
from tr069.datamodel.resolver import as_tree, resolve
from tr069.datamodel.values import SECRET


async def do_task(context: SessionContext, session: CwmpSession, task: TaskRecord) -> None:
    now = context.clock()
    if now > task.expires_at:
        expired = replace(task, state=TaskState.EXPIRED, answer={'error': 'the device did not come in time'})
        await context.store.update_task(expired, now)
        return
    if not tasks.is_repeatable(task.request):
        # Journal before send: whoever finds this later, in this process or another, does not do it twice.
        unknown = {'error': 'there was no answer: whether it was done is unknown'}
        task = replace(task, state=TaskState.SENDING, answer=unknown)
        await context.store.update_task(task, now)
    try:
        answer = await _perform(context, session, task.request)
    except BadAnswerError as error:
        failed = replace(task, state=TaskState.FAILED, answer={'error': str(error)})
        await context.store.update_task(failed, context.clock())
        raise
    except SessionLostError:
        if task.state is TaskState.SENDING:
            await context.store.update_task(replace(task, state=TaskState.FAILED), context.clock())
        raise
    if task.request['method'] == tasks.READ_TREE and 'error' not in answer:
        await _keep_levers(context, session, answer)
    state = TaskState.FAILED if 'error' in answer else TaskState.DONE
    await context.store.update_task(replace(task, state=state, answer=answer), context.clock())


async def _keep_levers(context: SessionContext, session: CwmpSession, answer: Mapping[str, Any]) -> None:
    """What the tree shows this device to be able to do: for whoever asked, and for when it does not come."""
    identity = identity_of(session.inform, session.model_name)
    profile = profile_for(identity, context.profiles)

    def report() -> str:
        return json.dumps(asdict(resolve(as_tree(m.as_values(answer['values']), answer['writable']), profile)))

    # In a thread: a big tree takes its time, and the other CPEs shall not wait for it.
    found = await asyncio.to_thread(report)
    await context.store.keep_levers(session.device_id, identity.software_version, found, context.clock())


async def _perform(context: SessionContext, session: CwmpSession, request: Mapping[str, Any]) -> dict[str, Any]:
    if request['method'] == tasks.READ:
        found = await read_values(session, request['names'])
        return {'error': f'fault {found}'} if isinstance(found, Fault) else tasks.values_answer(found.values())
    if request['method'] == tasks.READ_TREE:
        return await _read_tree(session)
    rpc = tasks.to_rpc(request)
    if isinstance(rpc, m.SetParameterValues):
        verdict, _, _ = await judge(context, session, rpc.values)
        if not verdict.allowed:
            return {'error': f'refused: {verdict.reason}'}
        if verdict.is_canary:  # a task is not read back, so it could never prove that the model survives
            return {'error': "refused: a model's first WAN change is made by a profile, which is verified"}
    elif isinstance(rpc, m.AddObject | m.DeleteObject):
        # An object under a WAN or the firewall may carry management as much as a value does.
        risk = guard.classify(m.ParameterValue(rpc.path + 'x', ''), policy_of(context, session).allow_list)
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


async def _read_tree(session: CwmpSession) -> dict[str, Any]:
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
