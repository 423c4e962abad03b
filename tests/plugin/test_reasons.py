"""Reasons are codes with parameters: programs read the code, people the sentence in their language."""

import json
import string

import pytest
from django.utils.translation import override

from netbox_delinquency.errors import DelinquencyError, RunRefusedError
from netbox_delinquency.reasons import (
    TEXTS,
    Reason,
    ReasonCode,
    message_columns,
    restored,
    stop_columns,
    stored,
    translated,
)
from nornir_tasks.change import AccessState
from nornir_tasks.engine.breaker import BreakerLimits, BreakerVerdict, Health, PointHealth, Tally, verdict

LIMITS = BreakerLimits(max_failed_percent=10, min_rows=2, max_refused_percent=10, max_session_drop_percent=5)


def names_in(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_code_has_a_sentence():
    assert set(TEXTS) == set(ReasonCode)


@pytest.mark.parametrize('code', list(ReasonCode))
def test_a_translated_sentence_names_what_the_english_one_names(code):
    params = dict.fromkeys(names_in(TEXTS[code]), 'x')
    reason = Reason.of(code, **params)
    with override('pt-br'):
        assert reason.translated.format() == reason.translated  # nothing is left to be filled in
        assert reason.translated.count('x') >= len(params)


def test_a_reason_is_english_wherever_it_is_kept_and_is_shown_in_the_readers_language():
    throttled = AccessState.throttled(512, 256)
    with override('pt-br'):
        reason = Reason.of(ReasonCode.POLICY_WANTS_OTHER, intended=throttled)
        assert reason == 'policy now wants this line throttled 512/256 kbit/s'
        assert translated(reason) != reason
    assert translated('a word of a driver') == 'a word of a driver'


def test_what_is_stored_comes_back_as_the_same_reason_through_json():
    inner = Reason.of(ReasonCode.SHARE_TOO_LARGE, share=30.5, lines=40, point='bras-1', cap=25)
    switch = Reason.of(ReasonCode.KILL_SWITCH, why='storm')
    reason = Reason.of(ReasonCode.CAPS_EXCEEDED, run='June', reasons=[inner, switch])
    code, params = stored(reason)
    back = restored(str(reason), code, json.loads(json.dumps(params)))
    assert back == reason
    assert isinstance(back, Reason)
    assert (back.code, back.params) == (reason.code, reason.params)
    assert str(back) == (
        'run "June" cannot be approved: it changes 30.5 % of the 40 lines of bras-1, and may change 25 %; '
        'enforcement is stopped: storm'
    )


def test_what_another_version_stored_is_shown_as_its_text():
    assert restored('what it said', 'of_another_version', {}) == 'what it said'
    assert restored('what it said', 'moved', {}) == 'what it said'  # a parameter is missing
    assert restored('what it said', '', None) == 'what it said'


def test_columns_hold_text_code_and_parameters():
    reason = Reason.of(ReasonCode.DEADLINE, minutes=30)
    text = 'it has taken longer than its deadline of 30 minutes'
    assert stop_columns(reason) == {'stop_reason': text, 'stop_code': 'deadline', 'stop_params': {'minutes': 30}}
    assert stop_columns('') == {'stop_reason': '', 'stop_code': '', 'stop_params': None}
    assert message_columns('no such user') == {'message': 'no such user', 'message_code': '', 'message_params': None}


def test_a_refusal_is_of_the_family_and_speaks_the_readers_language():
    error = RunRefusedError(Reason.of(ReasonCode.NOT_APPROVED, run='June', status='paused'))
    assert isinstance(error, DelinquencyError)
    assert str(error) == 'run "June" is paused: only an approved one can be started'
    with override('pt-br'):
        assert str(error) != 'run "June" is paused: only an approved one can be started'
    assert error.reason.code is ReasonCode.NOT_APPROVED


def trips():
    health = Health(100, 0.1)
    yield 'first_wave_wrong', verdict(LIMITS, Tally(), first_wave=Tally(2, 2))
    yield 'too_many_wrong', verdict(LIMITS, Tally(10, 5))
    yield 'too_many_refused', verdict(LIMITS, Tally(10, 0, refused=5))
    yield 'too_many_untried', verdict(LIMITS, Tally(10, 5, untouched=5), total=20)
    yield 'sessions_lost', verdict(LIMITS, Tally(), [PointHealth('b', health, Health(10, 0.1))])
    yield 'point_slow', verdict(LIMITS, Tally(), [PointHealth('b', health, Health(100, 90.0))])


def test_every_verdict_of_the_breaker_is_a_reason_with_the_same_sentence():
    seen = set()
    for code, said in trips():
        assert isinstance(said, BreakerVerdict)
        assert (said.code, Reason.of(ReasonCode(said.code), **said.figures)) == (code, str(said))
        seen.add(code)
    assert len(seen) == 6
