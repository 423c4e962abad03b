"""Reading from a device in a session: in as few RPCs as it takes, one by one where it will not have them together."""

from __future__ import annotations

from collections.abc import Sequence

from tr069.acs.cpe.session import CwmpSession
from tr069.cwmp import messages as m
from tr069.cwmp.faults import Fault

NO_SUCH_NAME = 9005


async def read_values(session: CwmpSession, names: Sequence[str]) -> dict[str, m.ParameterValue] | Fault:
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


async def read_each(session: CwmpSession, names: Sequence[str]) -> tuple[dict[str, m.ParameterValue], dict[str, Fault]]:
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
