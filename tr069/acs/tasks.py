"""Tasks: one RPC, asked once of one device, as JSON that can wait in the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tr069.cwmp import messages as m
from tr069.cwmp.faults import Fault

READ = 'read'  # GetParameterValues, split as the model needs it
READ_TREE = 'readTree'  # everything that may hold a lever
_REPEATABLE = (READ, READ_TREE, 'getParameterNames', 'getParameterAttributes', 'getRPCMethods')

_RPCS: dict[str, Callable[[Mapping[str, Any]], m.Request]] = {
    'getParameterNames': lambda t: m.GetParameterNames(t['path'], t.get('next_level', True)),
    'getParameterAttributes': lambda t: m.GetParameterAttributes(tuple(t['names'])),
    'getRPCMethods': lambda _: m.GetRPCMethods(),
    'setParameterValues': lambda t: m.SetParameterValues(
        tuple(m.ParameterValue(*item) for item in t['values']), t.get('parameter_key', '')
    ),
    'setParameterAttributes': lambda t: m.SetParameterAttributes(
        tuple(m.ParameterAttribute(name, notification) for name, notification in t['attributes'])
    ),
    'addObject': lambda t: m.AddObject(t['path'], t.get('parameter_key', '')),
    'deleteObject': lambda t: m.DeleteObject(t['path'], t.get('parameter_key', '')),
    'reboot': lambda t: m.Reboot(t.get('command_key', '')),
    'factoryReset': lambda _: m.FactoryReset(),
    'download': lambda t: m.Download(
        t['url'], t.get('file_type', '1 Firmware Upgrade Image'), t.get('command_key', ''),
        file_size=t.get('file_size', 0), target_file_name=t.get('target_file_name', ''), delay_s=t.get('delay_s', 0),
    ),
    'scheduleInform': lambda t: m.ScheduleInform(t['delay_s'], t.get('command_key', '')),
}  # fmt: skip
METHODS = (READ, READ_TREE, *_RPCS)


def is_repeatable(request: Mapping[str, Any]) -> bool:
    """True where asking twice does no harm."""
    return request['method'] in _REPEATABLE


def to_rpc(request: Mapping[str, Any]) -> m.Request:
    """Raises `KeyError` for a method or an argument that is missing, `ValueError` for values CWMP forbids."""
    return _RPCS[request['method']](request)


def values_answer(values: Iterable[m.ParameterValue]) -> dict[str, Any]:
    return {'values': [(item.name, item.value, item.type) for item in values]}


def answer_of(answer: m.Answer) -> dict[str, Any]:
    """An answer as JSON; a fault is an `error`."""
    match answer:
        case Fault():
            return {'error': f'fault {answer}', 'fault': answer.code}
        case m.GetParameterValuesResponse():
            return values_answer(answer.values)
        case m.GetParameterNamesResponse():
            return {'parameters': [(item.name, item.writable) for item in answer.parameters]}
        case m.GetParameterAttributesResponse():
            return {'attributes': [(item.name, item.notification, list(item.access)) for item in answer.attributes]}
        case m.GetRPCMethodsResponse():
            return {'methods': list(answer.methods)}
        case m.StatusResponse():
            return {'status': answer.status or 0} | (
                {'instance': answer.instance} if answer.instance is not None else {}
            )
