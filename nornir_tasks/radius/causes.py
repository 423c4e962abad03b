"""What an Error-Cause (RFC 5176 section 3.5) means for the row, for the NAS, and for whoever reads it."""

from __future__ import annotations

from enum import Enum


class CauseMeaning(Enum):
    """What a refusal asks of us; `UNNAMED` is a NAK that gives no reason, which may follow a partial change."""

    READ_BACK = 'read back'
    WRONG_DIALECT = 'wrong dialect'  # every other line of this NAS would get the same: stop
    CONFIGURATION = 'configuration'  # likewise
    NO_SESSION = 'no session'
    NARROW = 'narrow the identity'
    RETRY = 'retry later'
    PENDING = 'wait and read back'
    UNNAMED = 'no reason given'


CAUSES: dict[int, tuple[str, CauseMeaning]] = {
    201: ('residual session context removed', CauseMeaning.READ_BACK),
    202: ('invalid EAP packet', CauseMeaning.READ_BACK),
    401: ('unsupported attribute', CauseMeaning.WRONG_DIALECT),
    402: ('missing attribute', CauseMeaning.WRONG_DIALECT),
    403: ('NAS identification mismatch', CauseMeaning.CONFIGURATION),
    404: ('invalid request', CauseMeaning.WRONG_DIALECT),
    405: ('unsupported service', CauseMeaning.WRONG_DIALECT),
    406: ('unsupported extension', CauseMeaning.CONFIGURATION),
    407: ('invalid attribute value', CauseMeaning.WRONG_DIALECT),
    501: ('administratively prohibited', CauseMeaning.CONFIGURATION),
    502: ('request not routable', CauseMeaning.CONFIGURATION),
    503: ('session context not found', CauseMeaning.NO_SESSION),
    504: ('session context not removable', CauseMeaning.NARROW),
    505: ('other proxy processing error', CauseMeaning.RETRY),
    506: ('resources unavailable', CauseMeaning.RETRY),
    507: ('request initiated', CauseMeaning.PENDING),
    508: ('multiple session selection unsupported', CauseMeaning.NARROW),
    509: ('location information required', CauseMeaning.CONFIGURATION),
}
REMEDIES = {
    CauseMeaning.READ_BACK: 'read the line before trying again',
    CauseMeaning.WRONG_DIALECT: "check the point's dialect, and the profile's name, against what this NAS knows",
    CauseMeaning.CONFIGURATION: 'check that the NAS accepts dynamic authorization from this address, and its identity',
    CauseMeaning.NO_SESSION: 'the line is offline',
    CauseMeaning.NARROW: 'identify the session by Acct-Session-Id',
    CauseMeaning.RETRY: 'plan the line again later',
    CauseMeaning.PENDING: 'the NAS works on it: read the line before trying again',
    CauseMeaning.UNNAMED: 'something may have been changed all the same: read the line before trying again',
}


def meaning_of(cause: int | None) -> CauseMeaning:
    """An unknown cause is taken by its hundred: the 2xx are successes, the 4xx our fault, the 5xx the NAS's."""
    if cause is None:
        return CauseMeaning.UNNAMED
    if cause in CAUSES:
        return CAUSES[cause][1]
    return {2: CauseMeaning.READ_BACK, 4: CauseMeaning.CONFIGURATION}.get(cause // 100, CauseMeaning.RETRY)


def sentence_for(cause: int | None) -> str:
    remedy = REMEDIES[meaning_of(cause)]
    if cause is None:
        return f'the NAS refused without an Error-Cause; {remedy}'
    words = CAUSES[cause][0] if cause in CAUSES else 'a cause of its own'
    return f'the NAS refused: {words} ({cause}); {remedy}'
