"""The name of a device's model, asked of it where the Inform does not bring it and a profile depends on it."""

from __future__ import annotations

from dataclasses import replace

from tr069.acs.cpe.context import SessionContext, identity_of
from tr069.acs.cpe.reading import read_values
from tr069.acs.cpe.session import CwmpSession
from tr069.cwmp.faults import Fault
from tr069.datamodel.profiles import needs_model_name, profile_for

_MAX_NAMES = 1_000_000


async def ask_model_name(context: SessionContext, session: CwmpSession) -> None:
    """Once a device: it is remembered, and so is that it has none."""
    known = context.model_names
    identity = identity_of(session.inform, session.model_name)
    if session.device_id in known or not needs_model_name(identity, context.profiles):
        return
    path = f'{session.inform.root}.DeviceInfo.ModelName'
    found = await read_values(session, (path,))
    name = '' if isinstance(found, Fault) or path not in found else found[path].value.strip()[:128]
    if len(known) >= _MAX_NAMES:
        known.clear()
    known[session.device_id] = session.model_name = name
    session.profile = profile_for(replace(identity, model_name=name), context.profiles)
