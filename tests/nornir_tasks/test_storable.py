"""What boxes print is carried so that every database takes it and every name can be put back."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_tasks.change import AccessState, ChangeResult, CpeValue, Outcome, Reading, Reply, ValueSet
from nornir_tasks.storable import ESCAPED, escape, unescape

NORMAL = AccessState.normal()
ANY_TEXT = st.text(st.characters(exclude_categories=()))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(ANY_TEXT | st.integers(), inner),
    max_leaves=20,
)


def is_plain(text):
    return '\0' not in text and not any('\ud800' <= character <= '\udfff' for character in text)


@given(ANY_TEXT.filter(lambda text: not ESCAPED.search(text)))
def test_a_text_comes_back_exactly_and_escaping_twice_changes_nothing(text):
    kept = escape(text)
    assert is_plain(kept)
    assert unescape(kept) == text
    assert escape(kept) == kept


@given(st.dictionaries(ANY_TEXT, ANYTHING))
def test_every_reading_is_json_that_postgresql_takes(detail):
    reading = Reading(NORMAL, NORMAL, detail)
    printed = json.dumps(reading.as_dict(), allow_nan=False)
    assert '\\u0000' not in printed.replace('\\\\', '')
    printed.encode()
    again = Reading.from_dict(json.loads(printed))
    assert again == reading
    assert replace(again, live=None).detail == reading.detail


def test_a_latin_1_name_can_be_read_by_a_person_and_put_back_by_a_driver():
    name = b'padr\xe3o'.decode('utf-8', 'surrogateescape')
    (kept,) = Reading(detail={'profile': name}).detail.values()
    assert kept == 'padr␛DCE3o'
    assert unescape(kept).encode('utf-8', 'surrogateescape') == b'padr\xe3o'


@pytest.mark.parametrize('number', [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_are_texts(number):
    assert Reading(detail={'rate': number}).detail == {'rate': str(number)}


def test_what_is_too_much_to_keep_is_an_error_of_that_line_alone():
    deep = []
    for _ in range(5000):
        deep = [deep]
    for much in ({'text': 'x' * 2_000_000}, {'deep': deep}):
        reading = Reading(NORMAL, NORMAL, much)
        assert (reading.stored, reading.live, reading.detail) == (None, None, {})
        assert 'too much to be kept' in reading.error


def test_sentences_are_cut_and_hold_nothing_that_a_database_refuses():
    text = 'bad\0name\udce3' + 'x' * 5000
    for said in (
        Reading(error=text).error,
        Reply(False, text).message,
        ChangeResult('1', Outcome.FAILED, message=text).message,
    ):
        assert said.startswith('bad␛0000name␛DCE3xxx')
        assert len(said) < 2100
        assert said.endswith('…')


def test_a_rate_that_no_column_holds_is_the_fastest_there_is():
    reading = Reading(AccessState.throttled(10**15, 512))
    assert reading.stored == AccessState.throttled(2**31 - 1, 512)


def test_values_of_a_cpe_are_kept_too():
    values = ValueSet((CpeValue('Device.Ssid', 'caf\udce9\0'),))
    assert Reading(live=values).live == ValueSet((CpeValue('Device.Ssid', 'caf␛DCE9␛0000'),))
