"""The guard at work in a session: the verdict on values, by a fresh read of what it needs to see."""

from __future__ import annotations

from collections.abc import Sequence

from tr069 import guard
from tr069.acs.cpe.canary import policy_of
from tr069.acs.cpe.context import SessionContext
from tr069.acs.cpe.reading import NO_SUCH_NAME, read_values
from tr069.acs.cpe.session import CwmpSession
from tr069.cwmp import messages as m
from tr069.cwmp.faults import Fault


async def judge(
    context: SessionContext,
    session: CwmpSession,
    values: Sequence[m.ParameterValue],
    saved: Sequence[m.ParameterValue] = (),
) -> tuple[guard.GuardVerdict, tuple[str, ...], Fault | None]:
    """The guard's verdict on new values, and the names of `saved` ones that stay as they are, by a fresh read.

    Parts of the tree that the device does not have are just not there; any other fault is the third of the answer.
    """
    policy = policy_of(context, session)
    tree: dict[str, str] = {}
    unread = None
    for path in guard.reads_needed([*values, *saved], policy.allow_list):
        found = await read_values(session, (path,))
        if not isinstance(found, Fault):
            tree.update((name, item.value) for name, item in found.items())
        elif found.code != NO_SUCH_NAME:
            unread = found
    verdict = guard.judge(values, tree, policy, source_address=session.address)
    kept = guard.kept_back(saved, tree, source_address=session.address, is_blind=unread is not None)
    return verdict, kept, unread
