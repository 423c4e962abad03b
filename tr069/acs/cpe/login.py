"""The login under which the ACS calls a CPE, set at its first contact."""

from __future__ import annotations

import logging

from tr069.acs.cpe.context import SessionContext
from tr069.acs.cpe.session import CwmpSession
from tr069.cwmp import messages as m
from tr069.cwmp.faults import Fault

logger = logging.getLogger(__name__)


def needs_login(context: SessionContext, inform: m.Inform) -> bool:
    """After a factory reset it is gone; and a device that comes from another ACS has that one's until it boots."""
    return context.connection_request_login is not None and (inform.has('0 BOOTSTRAP') or inform.has('1 BOOT'))


async def set_login(context: SessionContext, session: CwmpSession) -> None:
    """Give the device the login under which we call it: a factory reset has wiped it."""
    assert context.connection_request_login is not None
    username, password = context.connection_request_login(session.device_id)
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
