"""What is done in a session: first what was asked once (tasks), then the desired state. All of it guarded."""

from __future__ import annotations

import asyncio
import logging

from tr069.acs import desired as d
from tr069.acs.cpe.canary import confirm_canary, is_waiting_canary, lose_canary
from tr069.acs.cpe.context import SessionContext
from tr069.acs.cpe.login import needs_login, set_login
from tr069.acs.cpe.model_name import ask_model_name
from tr069.acs.cpe.provisioning import bring_to_desired_state, keep_bad_answer
from tr069.acs.cpe.session import BadAnswerError, CwmpSession, SessionLostError
from tr069.acs.cpe.task_runner import do_task
from tr069.acs.store.store import SupersededError

logger = logging.getLogger(__name__)


CALLED = '6 CONNECTION REQUEST'


def has_work(context: SessionContext, session: CwmpSession) -> bool:
    """True where `run` would do anything at all: asked at every session, so it must cost nothing."""
    store, inform = context.store, session.inform
    if store.tasks_of(session.device_id) or needs_login(context, inform) or inform.has(CALLED):
        return True
    if is_waiting_canary(context, session):
        return True
    record = store.status_of(session.device_id)
    return record is not None and d.next_step(record, inform, context.clock()) is not d.Step.NOTHING


async def run(context: SessionContext, session: CwmpSession, before: asyncio.Task[None] | None = None) -> None:
    """Do all there is to do, in order. Ends quietly where the CPE goes away or something else was asked meanwhile.

    `before` is the work of the device's former session, which was cut off and may still have something to write down.
    """
    try:
        if before is not None:
            await asyncio.wait([before])
        if session.inform.has(CALLED):  # perhaps by another process, for what that one has been asked a moment ago
            await context.store.refresh(session.device_id)
        if needs_login(context, session.inform):
            await set_login(context, session)
        await ask_model_name(context, session)
        if session.inform.has('0 BOOTSTRAP') and is_waiting_canary(context, session):
            await lose_canary(context, session)
        for task in list(context.store.tasks_of(session.device_id)):
            if session.is_full:  # nothing of it is begun that could not be finished
                break
            await do_task(context, session, task)
        record = context.store.status_of(session.device_id)
        if record is not None:
            try:
                await bring_to_desired_state(context, session, record)
            except BadAnswerError as error:
                await keep_bad_answer(context, session, error)
                raise
        await confirm_canary(context, session)
    except SessionLostError as error:
        logger.info('%s', error)
    except SupersededError as error:
        logger.info('%s; the next session goes by that', error)
    finally:
        session.finish()
