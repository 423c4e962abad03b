"""Waves: which rows of a run go first, so that a mistake is met by one home and not by ten thousand.

The text `1, 1%, 10%, rest` is one row, then 1 % of all rows, then 10 % of all rows, then the others. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

_SIZE = re.compile(r'(?P<percent>\d+(\.\d+)?)\s*%|(?P<rows>\d+)|(?P<rest>rest)', re.ASCII)


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows a wave has: a number of `rows`, or `percent` of all rows of the run; neither: all that are left."""

    rows: int | None = None
    percent: Decimal | None = None

    def of(self, total: int) -> int:
        """Rows of this wave in a run of `total`. A share is rounded down, since smaller is safer, but never to none."""
        if self.percent is not None:
            return max(1, int(total * self.percent / 100))
        return total if self.rows is None else self.rows

    def __str__(self) -> str:
        if self.percent is not None:
            return f'{self.percent.normalize():f}%'
        return 'rest' if self.rows is None else str(self.rows)


@dataclass(frozen=True, slots=True)
class Waves:
    """The sizes of all waves, first to last; the last one takes the rest."""

    sizes: tuple[Size, ...] = (Size(rows=1), Size(percent=Decimal(1)), Size(percent=Decimal(10)), Size())

    @classmethod
    def parse(cls, text: str) -> Waves:
        """Waves from text such as `1, 1%, 10%, rest`. Raises `ValueError` with a sentence where it cannot be read."""
        sizes = tuple(_size(part.strip(), text) for part in text.split(','))
        if sizes[-1] != Size() or Size() in sizes[:-1]:
            raise ValueError(f'waves "{text}": the last one, and no other, is "rest", as in "1, 1%, 10%, rest"')
        return cls(sizes)

    @classmethod
    def all_at_once(cls) -> Waves:
        return cls((Size(),))

    def __str__(self) -> str:
        return ', '.join(str(size) for size in self.sizes)


def _size(part: str, text: str) -> Size:
    found = _SIZE.fullmatch(part.lower())
    if not found:
        raise ValueError(f'waves "{text}": "{part}" is no size; write a number of rows, a share such as 10%, or rest')
    if found['rest']:
        return Size()
    if found['rows']:
        size, fits = Size(rows=int(found['rows'])), int(found['rows']) > 0
    else:
        percent = Decimal(found['percent'])
        size, fits = Size(percent=percent), 0 < percent <= 100
    if not fits:
        raise ValueError(f'waves "{text}": "{part}" is no size; a wave has at least one row and at most 100% of them')
    return size


def assign_waves[Key: Hashable](rows_by_point: Mapping[str, Sequence[Key]], waves: Waves) -> dict[Key, int]:
    """The wave of every row, counted from 1, by its key (keys are unique over all points).

    Rows are dealt from the points in turn, by point name and in each point's own order, and the deal goes on from wave
    to wave: within a wave two points differ by one row at most for as long as both have any. So no point carries a
    wave alone while others have rows, and none is loaded more than it must be. Waves for which no row is left do
    not exist. The same rows are always dealt the same way.
    """
    dealt = list(_in_turn([rows_by_point[name] for name in sorted(rows_by_point)]))
    numbers: list[int] = []
    for number, size in enumerate(waves.sizes, start=1):
        numbers.extend([number] * min(size.of(len(dealt)), len(dealt) - len(numbers)))
    return dict(zip(dealt, numbers, strict=True))


def _in_turn[Key](piles: Sequence[Sequence[Key]]) -> Iterator[Key]:
    waiting = [iter(pile) for pile in piles]
    while waiting:
        left = []
        for pile in waiting:
            for row in pile:
                yield row
                left.append(pile)
                break
        waiting = left
