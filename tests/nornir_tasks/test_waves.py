"""Waves: every row once, sizes as written, and no point pressed harder than it must be."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_tasks.engine.waves import Size, Waves, assign_waves

sizes = st.one_of(
    st.builds(Size, rows=st.integers(1, 50)),
    st.builds(Size, percent=st.decimals('0.1', 100, places=1, allow_nan=False)),
)
some_waves = st.lists(sizes, max_size=4).map(lambda before: Waves((*before, Size())))
piles = st.lists(st.integers(0, 60), max_size=6).map(
    lambda counts: {f'bras-{n}': [f'{n}/{row}' for row in range(count)] for n, count in enumerate(counts)}
)


@given(piles, some_waves)
def test_every_row_is_in_exactly_one_wave_and_each_wave_has_its_size(rows, waves):
    assigned = assign_waves(rows, waves)
    assert sorted(assigned) == sorted(key for keys in rows.values() for key in keys)
    left = total = len(assigned)
    counts = Counter(assigned.values())
    for number, size in enumerate(waves.sizes, start=1):
        wanted = min(size.of(total), left)
        assert counts[number] == wanted
        left -= wanted
    assert left == 0


@given(piles, some_waves)
def test_a_wave_has_as_many_rows_of_one_point_as_of_another_while_both_have_any(rows, waves):
    assigned = assign_waves(rows, waves)
    left = {name: len(keys) for name, keys in rows.items()}
    for wave in range(1, len(waves.sizes) + 1):
        share = {name: sum(assigned[key] == wave for key in keys) for name, keys in rows.items()}
        left = {name: left[name] - share[name] for name in rows}
        most = max(share.values(), default=0)
        assert all(share[name] >= most - 1 for name in rows if left[name])


@given(piles, some_waves)
def test_a_points_rows_go_in_their_own_order_and_always_the_same_way(rows, waves):
    assigned = assign_waves(rows, waves)
    for keys in rows.values():
        assert [assigned[key] for key in keys] == sorted(assigned[key] for key in keys)
    assert assign_waves(dict(reversed(rows.items())), waves) == assigned


@given(some_waves)
def test_waves_are_read_back_as_they_are_written(waves):
    assert Waves.parse(str(waves)) == waves


def test_the_usual_waves_over_ten_thousand_lines_on_twenty_routers():
    rows = {f'bras-{n:02}': [f'{n}/{row}' for row in range(500)] for n in range(20)}
    waves = Waves.parse('1, 1%, 10%, rest')
    assert waves == Waves()
    assigned = assign_waves(rows, waves)
    assert Counter(assigned.values()) == {1: 1, 2: 100, 3: 1000, 4: 8899}
    assert {sum(assigned[key] == 2 for key in keys) for keys in rows.values()} == {5}


def test_a_share_of_few_rows_is_one_row():
    assert Counter(assign_waves({'bras-1': list('abcde')}, Waves()).values()) == {1: 1, 2: 1, 3: 1, 4: 2}
    assert assign_waves({'bras-1': ['a']}, Waves()) == {'a': 1}
    assert assign_waves({}, Waves()) == {}


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('', '"" is no size'),
        ('1, ten, rest', '"ten" is no size'),
        ('1, -5, rest', '"-5" is no size'),
        ('0, rest', 'at least one row'),
        ('0%, rest', 'at least one row'),
        ('101%, rest', 'at most 100%'),
        ('1, 10%', 'is "rest"'),
        ('1, rest, 10%, rest', 'is "rest"'),
        ('1,, rest', '"" is no size'),
    ],
)
def test_waves_that_cannot_be_read_are_refused_with_a_sentence(text, said):
    with pytest.raises(ValueError, match='waves') as error:
        Waves.parse(text)
    assert said in str(error.value)


def test_waves_are_read_as_people_write_them():
    assert str(Waves.parse(' 1,5 %,12.50%,REST')) == '1, 5%, 12.5%, rest'
    assert Waves.parse('rest') == Waves.all_at_once()
