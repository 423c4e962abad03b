"""The two places where a line may be enforced, and what is known of it there: columns, and questions in SQL."""

from django.db.models import F, Q

from ..choices import AccessModeChoices, LineChannelChoices
from .state import state_fields

# Names of a line's columns, by side.
POINT = {LineChannelChoices.BRAS: 'bras', LineChannelChoices.CPE: 'acs'}
IDENTITY = {LineChannelChoices.BRAS: 'bras_identity', LineChannelChoices.CPE: 'acs_identity'}
OBSERVED = {LineChannelChoices.BRAS: 'observed', LineChannelChoices.CPE: 'cpe_observed'}
UNVERIFIED = {LineChannelChoices.BRAS: 'unverified', LineChannelChoices.CPE: 'cpe_unverified'}
FOREIGN = {LineChannelChoices.BRAS: 'foreign', LineChannelChoices.CPE: 'cpe_foreign'}
BASELINE = {LineChannelChoices.BRAS: 'baseline', LineChannelChoices.CPE: 'cpe_baseline'}
RESTRICTION = {LineChannelChoices.BRAS: 'restriction', LineChannelChoices.CPE: 'cpe_restriction'}


def is_covered(side: str) -> Q:
    """The lines that policy wants enforced on this side; on the other one they are to be normal."""
    return Q(channel__in=(side, LineChannelChoices.BOTH))


def is_ours(side: str) -> Q:
    """Lines that have an open restriction of ours on this side."""
    return Q(**{f'{RESTRICTION[side]}__isnull': False})


def is_foreign(side: str) -> Q:
    """Lines that somebody else restricts on this side, as last read."""
    return ~Q(**{FOREIGN[side]: []})


def is_free(side: str) -> Q:
    """Lines from which nothing is to be taken on this side."""
    return ~is_covered(side) | Q(intended_mode=AccessModeChoices.NORMAL)


def is_right(side: str) -> Q:
    """Lines for which nothing is to be done on this side: without a point there, or seen as intended.

    Whom nothing is to be taken from is right once nothing of ours is there, whatever another does. What is restricted
    as we would do it, and not by us, is left to whoever did that: neither lifted nor made more restrictive.
    """
    mode, down, up = state_fields(OBSERVED[side])
    same_rates = Q(intended_down_kbps=F(down), intended_up_kbps=F(up))
    same = Q(intended_mode=F(mode)) & (~Q(intended_mode=AccessModeChoices.THROTTLED) | same_rates)
    is_known = Q(**{UNVERIFIED[side]: False})
    is_taken = is_covered(side) & ~Q(intended_mode=AccessModeChoices.NORMAL)
    restricted = Q(**{f'{mode}__in': (AccessModeChoices.THROTTLED, AccessModeChoices.BLOCKED)})
    as_taken = is_taken & is_known & (same | restricted & ~is_ours(side))
    return Q(**{f'{POINT[side]}__isnull': True}) | as_taken | is_free(side) & ~is_ours(side)


def is_in_effect(side: str) -> Q:
    """Lines on which what policy wants on this side is so by our doing: what another does there sets no clock going."""
    without_point = Q(**{f'{POINT[side]}__isnull': True})
    return is_right(side) & (without_point | is_free(side) | is_ours(side))


def is_over_enforced(side: str) -> Q:
    """Lines seen on this side with less than they are to have, as `AccessState.is_more_restrictive_than` says it."""
    mode, down, up = state_fields(OBSERVED[side])
    throttled, blocked = AccessModeChoices.THROTTLED, AccessModeChoices.BLOCKED
    slower = Q(**{f'{down}__lt': F('intended_down_kbps')}) | Q(**{f'{up}__lt': F('intended_up_kbps')})
    more_restricted = (
        Q(**{mode: blocked}) & ~Q(intended_mode=blocked)
        | Q(**{mode: throttled}, intended_mode=AccessModeChoices.NORMAL)
        | Q(**{mode: throttled}, intended_mode=throttled) & slower
    )
    return is_covered(side) & more_restricted | ~is_covered(side) & Q(**{f'{mode}__in': (throttled, blocked)})
