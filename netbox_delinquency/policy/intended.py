"""What a line should have on a stage, and where it is enforced: the rules that `sql/lines.sql` has, too."""

from __future__ import annotations

from nornir_tasks.change import AccessState, Mode

from .actions import action_of

__all__ = ('intended_state', 'line_channel', 'throttled_state')


def throttled_state(
    to: str,
    plan: tuple[int, int],
    throttled: tuple[int, int],
    percent: int | None,
    rates: tuple[int | None, int | None],
) -> AccessState:
    """The reduced state of a line: `to` the plan's `throttled` rates, a `percent` of the `plan`'s, or `rates` of the
    stage's own, which never are more than the plan's."""
    if to == 'percent' and percent is not None:
        down, up = (max(1, rate * percent // 100) for rate in plan)
    elif to == 'rate':
        down, up = (min(have, want or have) for have, want in zip(plan, rates, strict=True))
    else:
        down, up = throttled
    return AccessState.throttled(down, up)


def intended_state(action: str | None, throttled: AccessState) -> AccessState:
    """How a line should be while `action` is the heaviest one that its contract has reached."""
    mode = action_of(action).mode if action else Mode.NORMAL
    return throttled if mode is Mode.THROTTLED else AccessState(mode)


def line_channel(channel: str, has_bras: bool, has_acs: bool) -> str:
    """Where a line is enforced: `bras`, `cpe` or `both`, of a stage's channel and what the line has.

    "Only" means it: a line without that point is not enforced at all.
    """
    if channel in ('bras', 'cpe'):
        return channel
    if channel == 'both' and has_bras and has_acs:
        return 'both'
    if channel == 'cpe_else_bras':
        return 'cpe' if has_acs or not has_bras else 'bras'
    return 'bras' if has_bras else 'cpe'
