"""Informs whose shape is known, read without building a tree. Everything else goes to the full, strict parser.

A CPE sends the same tags in the same order every time; only the texts of leaves change. Once the strict parser has
accepted an envelope, another one with exactly its tags, and with leaves that hold plain printable ASCII and no markup,
is well-formed and has the same tree by the grammar of XML, so it can be read by position: by one regular expression
made of that envelope. Anything unusual (an entity, a control character, another tag or letter, another charset) does
not match, and is not read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

from tr069.cwmp import messages as m

_ASCII = frozenset(('', 'utf-8', 'utf8', 'us-ascii', 'ascii'))
_PLAIN = r"[\t\n -%'-;=?-~]*"  # printable ASCII without & < >
_MAX_SHAPES = 8  # of one number of tags
_MAX_COUNTS = 200  # and of numbers of tags: models are few, and forged ones must not fill the memory
_MAX_TAGS = 600
_MAX_BODY = 64 * 1024  # bytes of an Inform worth a pattern; real ones have some 4 kB
_DEVICE = ('Manufacturer', 'OUI', 'ProductClass', 'SerialNumber')
_INFORM = 'Body/Inform/'
_STRUCT = f'{_INFORM}ParameterList/ParameterValueStruct/'
_EVENT = f'{_INFORM}Event/EventStruct/'


@dataclass(frozen=True, slots=True)
class _Shape:
    """`pattern` matches every envelope of this shape. What is where are numbers of its groups; 0: it is always empty.

    The names of the parameters are part of the pattern, and so are namespace, types and warnings the same each time.
    """

    pattern: re.Pattern[str]
    id: int
    device: tuple[int, int, int, int]
    events: tuple[tuple[int, int], ...]
    retry_count: int
    current_time: int
    values: Callable[[tuple[str, ...]], tuple[str, ...]]
    names: tuple[str, ...]
    types: tuple[str, ...]
    namespace: str
    warnings: tuple[str, ...]
    prefixes: m.Prefixes

    def read(self, body: str) -> m.Envelope | None:
        """`None` where it does not fit, or where the full parser would have something to say."""
        found = self.pattern.fullmatch(body)
        if found is None:
            return None
        texts = ('', *found.groups())
        manufacturer, oui, product_class, serial = [texts[at].strip() for at in self.device]
        identifier, retries = texts[self.id].strip(), texts[self.retry_count].strip() or '0'
        if not oui or not serial or max(len(manufacturer), len(oui), len(product_class), len(serial)) > 128:
            return None
        if len(identifier) > 256 or not retries.isdecimal() or len(retries) > 9:
            return None
        inform = m.Inform(
            m.DeviceId(manufacturer, oui, product_class, serial),
            tuple([m.Event(texts[code].strip(), texts[key].strip()) for code, key in self.events]),
            m.Parameters(self.names, self.values(texts), self.types),
            int(retries),
            texts[self.current_time].strip(),
        )
        return m.Envelope(inform, identifier, self.namespace, self.warnings, self.prefixes)


class InformFastPath:
    """Shapes that were seen. `read` answers from them, `add_shape` adds one that the full parser has just read."""

    def __init__(self) -> None:
        self._shapes: dict[int, list[_Shape]] = {}

    def read(self, body: bytes, charset: str) -> m.Envelope | None:
        """The envelope of an Inform, or `None` where the full parser must look at it."""
        shapes = self._shapes.get(body.count(b'<'))
        if shapes is None or charset.lower() not in _ASCII or not body.isascii():
            return None
        text = body.decode('ascii')
        for shape in shapes:
            envelope = shape.read(text)
            if envelope is not None:
                return envelope
        return None

    def add_shape(self, body: bytes, charset: str, envelope: m.Envelope) -> None:
        """Keep the shape of `body`, which the full parser read as `envelope`, if reading by it gives the very same."""
        if len(body) > _MAX_BODY:
            return
        inform, count = envelope.message, body.count(b'<')
        if charset.lower() not in _ASCII or not body.isascii() or count > _MAX_TAGS or not isinstance(inform, m.Inform):
            return
        text = body.decode('ascii')
        shape = _shape_of(text, envelope, inform)
        if shape is None or shape.read(text) != envelope:
            return
        if len(self._shapes) >= _MAX_COUNTS:
            self._shapes.clear()
        shapes = self._shapes.setdefault(count, [])
        shapes.insert(0, shape)
        del shapes[_MAX_SHAPES:]


def _picker(places: Sequence[int]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Takes what stands at these places; `itemgetter` gives a tuple for two and more only."""
    return itemgetter(*places) if len(places) > 1 else lambda texts: tuple(texts[at] for at in places)


def _shape_of(body: str, envelope: m.Envelope, inform: m.Inform) -> _Shape | None:
    """The shape of an envelope; `None` for one that is not plain."""
    before, *parts = body.split('<')
    pieces = [part.partition('>') for part in parts]
    found: dict[str, list[int]] = {}
    path: list[str] = []
    pattern, group = [re.escape(before)], 0
    for number, ((tag, closed, text), (following, _, _)) in enumerate(pairwise([*pieces, ('', '>', '')])):
        # A `>` within an attribute would be taken for the end of the tag; comments and the like are not plain.
        is_declaration = number == 0 and tag.startswith('?xml ')
        if not closed or (tag[:1] in ('?', '!') and not is_declaration) or "'" in tag or tag.count('"') % 2:
            return None
        pattern.append(re.escape(f'<{tag}>'))
        is_leaf = False
        if tag.startswith('/'):
            if not path:
                return None
            path.pop()
        elif not is_declaration:
            path.append(tag.rstrip('/').split(None, 1)[0].rpartition(':')[2])
            where = '/'.join(path[1:])
            is_leaf = following.startswith('/') and not tag.endswith('/')
            is_variable = is_leaf and where != f'{_STRUCT}Name'
            group += is_variable
            found.setdefault(where, []).append(group if is_variable else 0)
            if is_variable:
                pattern.append(f'({_PLAIN})')
                text = ''
            if tag.endswith('/'):
                path.pop()
        pattern.append(re.escape(text))

    def one(name: str) -> int:
        places = found.get(name, [])
        return places[0] if len(places) == 1 else 0

    codes, keys = found.get(f'{_EVENT}EventCode', []), found.get(f'{_EVENT}CommandKey', [])
    values = found.get(f'{_STRUCT}Value', [])
    if len(codes) != len(keys) or len(values) != len(inform.parameters.names):
        return None
    manufacturer, oui, product_class, serial = (one(f'{_INFORM}DeviceId/{name}') for name in _DEVICE)
    return _Shape(
        re.compile(''.join(pattern)),
        one('Header/ID'),
        (manufacturer, oui, product_class, serial),
        tuple(zip(codes, keys, strict=True)),
        one(f'{_INFORM}RetryCount'),
        one(f'{_INFORM}CurrentTime'),
        _picker(values),
        inform.parameters.names,
        inform.parameters.types,
        envelope.namespace,
        envelope.warnings,
        envelope.prefixes,
    )
