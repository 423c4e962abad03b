"""A simulation as SVG bars."""

import svgwrite
from django.utils.safestring import mark_safe

from ..policy.simulate import Day

__all__ = ('simulation_chart',)

COLOURS = {'throttled': '#f59f00', 'blocked': '#d63939', 'restored': '#2fb344'}


def simulation_chart(days: list[Day], width: int = 900, height: int = 220) -> str:
    """Three bars a day, as high as the number of contracts; titles carry the figures."""
    drawing = svgwrite.Drawing(size=('100%', height), viewBox=f'0 0 {width} {height}', debug=False)
    most = max((getattr(day, name) for day in days for name in COLOURS), default=0) or 1
    step = (width - 60) / max(len(days), 1)
    floor = height - 30
    drawing.add(drawing.line((50, floor), (width, floor), stroke='currentColor'))
    drawing.add(drawing.text(str(most), insert=(2, 16), font_size=11, fill='currentColor'))
    for number, day in enumerate(days):
        for place, (name, colour) in enumerate(COLOURS.items()):
            count = getattr(day, name)
            if not count:
                continue
            tall = (floor - 10) * count / most
            bar = drawing.rect(
                (50 + number * step + place * step / 3.5, floor - tall), (max(step / 4, 1), tall), fill=colour
            )
            bar.set_desc(title=f'{day.day}: {count} {name}')
            drawing.add(bar)
        if number % max(len(days) // 8, 1) == 0:
            drawing.add(drawing.text(str(day.day), insert=(50 + number * step, height - 10), font_size=10,
                                     fill='currentColor'))  # fmt: skip
    return mark_safe(drawing.tostring())
