"""What an Error-Cause (RFC 5176 section 3.5) means for the row, for the NAS, and for whoever reads it."""

from __future__ import annotations

from enum import Enum


class Meaning(Enum):
    """What a refusal asks of us; `UNNAMED` is a NAK that gives no reason, which may follow a partial change."""

    READ_BACK = 'read back'
    WRONG_DIALECT = 'wrong dialect'  # every other line of this NAS would get the same: stop
    CONFIGURATION = 'configuration'  # likewise
    NO_SESSION = 'no session'
    NARROW = 'narrow the identity'
    RETRY = 'retry later'
    PENDING = 'wait and read back'
    UNNAMED = 'no reason given'


CAUSES: dict[int, tuple[str, Meaning]] = {
    201: ('residual session context removed', Meaning.READ_BACK),
    202: ('invalid EAP packet', Meaning.READ_BACK),
    401: ('unsupported attribute', Meaning.WRONG_DIALECT),
    402: ('missing attribute', Meaning.WRONG_DIALECT),
    403: ('NAS identification mismatch', Meaning.CONFIGURATION),
    404: ('invalid request', Meaning.WRONG_DIALECT),
    405: ('unsupported service', Meaning.WRONG_DIALECT),
    406: ('unsupported extension', Meaning.CONFIGURATION),
    407: ('invalid attribute value', Meaning.WRONG_DIALECT),
    501: ('administratively prohibited', Meaning.CONFIGURATION),
    502: ('request not routable', Meaning.CONFIGURATION),
    503: ('session context not found', Meaning.NO_SESSION),
    504: ('session context not removable', Meaning.NARROW),
    505: ('other proxy processing error', Meaning.RETRY),
    506: ('resources unavailable', Meaning.RETRY),
    507: ('request initiated', Meaning.PENDING),
    508: ('multiple session selection unsupported', Meaning.NARROW),
    509: ('location information required', Meaning.CONFIGURATION),
}
REMEDIES = {
    Meaning.READ_BACK: 'read the line before trying again',
    Meaning.WRONG_DIALECT: "check the point's dialect, and the profile's name, against what this NAS knows",
    Meaning.CONFIGURATION: 'check that the NAS accepts dynamic authorization from this address, and its identity',
    Meaning.NO_SESSION: 'the line is offline',
    Meaning.NARROW: 'identify the session by Acct-Session-Id',
    Meaning.RETRY: 'plan the line again later',
    Meaning.PENDING: 'the NAS works on it: read the line before trying again',
    Meaning.UNNAMED: 'something may have been changed all the same: read the line before trying again',
}


def meaning_of(cause: int | None) -> Meaning:
    """An unknown cause is taken by its hundred: the 2xx are successes, the 4xx our fault, the 5xx the NAS's."""
    if cause is None:
        return Meaning.UNNAMED
    if cause in CAUSES:
        return CAUSES[cause][1]
    return {2: Meaning.READ_BACK, 4: Meaning.CONFIGURATION}.get(cause // 100, Meaning.RETRY)


def sentence_for(cause: int | None) -> str:
    remedy = REMEDIES[meaning_of(cause)]
    if cause is None:
        return f'the NAS refused without an Error-Cause; {remedy}'
    words = CAUSES[cause][0] if cause in CAUSES else 'a cause of its own'
    return f'the NAS refused: {words} ({cause}); {remedy}'
