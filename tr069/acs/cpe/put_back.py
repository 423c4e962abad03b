"""Putting a CPE's values back: what was saved before the first change, whatever becomes of anything else."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from tr069.acs import desired as d
from tr069.acs.cpe.context import SessionContext
from tr069.acs.cpe.judging import judge
from tr069.acs.cpe.reading import read_each
from tr069.acs.cpe.session import CwmpSession
from tr069.acs.store.records import DesiredRecord
from tr069.cwmp import messages as m
from tr069.cwmp.faults import Fault
from tr069.datamodel.values import differing, fits_type

logger = logging.getLogger(__name__)


def set_request(
    session: CwmpSession, values: Sequence[m.ParameterValue], found: Mapping[str, m.ParameterValue], key: str
) -> m.SetParameterValues:
    typed = d.typed(values, found, boolean_as_number=session.profile.quirks.boolean_as_number)
    return m.SetParameterValues(typed, key)


async def give_up(context: SessionContext, session: CwmpSession, record: DesiredRecord, stopped: DesiredRecord) -> None:
    """Write down that it failed; what was to go back with it goes back first.

    Who has paid does not wait for a value of somebody else's. Where the session is lost, all is done once more.
    """
    await put_back(context, session, record)
    await context.store.advance(record, stopped)


async def put_back(context: SessionContext, session: CwmpSession, record: DesiredRecord) -> bool:
    """Set the saved values by themselves, one by one if it must be. True where the device has all of them now."""
    saved = record.going_back
    if not saved:
        return True
    found, faults = await read_each(session, [item.name for item in saved])
    _, kept, _ = await judge(context, session, (), saved)
    unfit = {item.name for item in d.typed(saved, found) if not fits_type(item)}
    back = [item for item in saved if item.name in found and item.name not in kept and item.name not in unfit]
    key = record.before_key or ''
    if back and isinstance(await session.ask(set_request(session, back, found, key)), Fault):
        for item in back:
            answer = await session.ask(set_request(session, [item], found, key))
            if isinstance(answer, Fault) and differing([item], found):
                logger.warning('%s does not take back what it had: %s', session.device_id, answer)
                faults[item.name] = answer
    return not (faults or kept or unfit)
