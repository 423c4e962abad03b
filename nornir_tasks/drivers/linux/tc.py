"""HTB shaping of one line: what `tc` prints, read; what `tc -batch` is to do, written. Pure translation.

Download is shaped at the root of the line's access interface. Upload is redirected by an ingress filter to an
*ifb* device of the line's own and shaped at the root of that: policing instead would drop bursts that TCP needs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from nornir_tasks.drivers.linux.batch import Output
from nornir_tasks.errors import EnforcementError

# Qdiscs of our making carry a handle of their own ("NB"), so that those of other software are never removed.
HANDLE = '4e42:'
CLASSID = '4e42:1'
LEAF = '4e43:'
FILTER = 'protocol all prio 20034'

INTERFACE = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]{0,14}')  # IFNAMSIZ is 16 with the final zero
CLASS_NAME = re.compile(r'[0-9a-f]{1,4}:[0-9a-f]{1,4}')
RATE = re.compile(r'(\d+)(bit|Kbit|Mbit|Gbit|Tbit)')
SIZE = re.compile(r'([0-9.]+)(b|Kb|Mb)?')
CLASS_LINE = re.compile(r'class (?P<class>\S+) (?P<handle>\S+) (?:root|parent (?P<parent>\S+)) ')
# By name, not by place: iproute2 releases differ in what else they print, and in the blank after "burst 1600b/1".
CLASS_WORDS = re.compile(r' (prio|quantum|rate|ceil|overhead|burst|cburst) ([0-9.]+[A-Za-z]*)')
RATES = ('rate', 'ceil')
BITS = {'bit': 1, 'Kbit': 10**3, 'Mbit': 10**6, 'Gbit': 10**9, 'Tbit': 10**12}
BYTES = {'b': 1, 'Kb': 1024, 'Mb': 1024**2}
ALREADY_THERE = ('Exclusivity flag on', 'File exists')
MTU = 1514


class LineError(Exception):
    """Something about one line that forbids to change it; the text is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Shaper:
    """One HTB class. `rate` and `ceil` are bit/s, `burst` and `cburst` bytes; `parent` is "root" or a class."""

    classid: str
    parent: str
    rate: int
    ceil: int
    burst: int
    cburst: int
    prio: int | None = None  # of a leaf class only, as is `quantum`
    quantum: int | None = None
    overhead: int | None = None

    @property
    def is_ours(self) -> bool:
        return self.classid == CLASSID

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Shaper:
        """Raises `LineError` for anything but what `as_dict` gave: it ends up in a command."""
        try:
            shaper = cls(**data)
        except TypeError:
            raise LineError('the recorded shaping is not in the form of this driver') from None
        numbers = [getattr(shaper, name) for name in NUMBERS if getattr(shaper, name) is not None]
        if any(type(number) is not int or number < 0 for number in numbers) or not all(
            isinstance(name, str) and CLASS_NAME.fullmatch(name)
            for name in (shaper.classid, shaper.classid if shaper.parent == 'root' else shaper.parent)
        ):
            raise LineError('the recorded shaping is not in the form of this driver')
        return shaper


NUMBERS = ('rate', 'ceil', 'burst', 'cburst', 'prio', 'quantum', 'overhead')


def shaped_to(kbps: int, like: Shaper | None) -> Shaper:
    """`like` (`None`: a class of our own) at that rate in kbit/s."""
    # 10 ms at the rate: enough for timers of any kernel to fill a fast line, and ten packets for a slow one.
    burst = max(10 * MTU, kbps * 125 // 100)
    base = like or Shaper(CLASSID, 'root', 0, 0, 0, 0, quantum=MTU)
    return replace(base, rate=kbps * 1000, ceil=kbps * 1000, burst=burst, cburst=burst)


def shown(kbps: int) -> int:
    """The kbit/s that `tc` shows of a rate: exact below 1 Gbit/s, from there on only whole Mbit/s."""
    return kbps if kbps < 1_000_000 else kbps // 1000 * 1000


def upload_device(interface: str) -> str:
    """Name of the ifb device of our making; a name, not an index, so that a line finds its own again."""
    return 'up-' + hashlib.blake2s(interface.encode(), digest_size=6).hexdigest()


# --- reading ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shaping:
    """What a device has: its HTB classes (leaves only), and where its ingress filters redirect to ("": nowhere)."""

    leaves: tuple[Shaper, ...]
    redirects: tuple[str, ...]


def shaping_queries(devices: Sequence[str]) -> list[str]:
    """Batch for `tc -j -d -force -batch -`, read back by `parse_shaping`."""
    return [line for device in devices for line in (f'class show dev {device}', f'filter show dev {device} ingress')]


def parse_shaping(devices: Sequence[str], output: Output) -> dict[str, Shaping]:
    """By device; one that has gone meanwhile is missing. Raises `EnforcementError`."""
    gone = {line // 2 for line in output.failed_lines()}
    present = [device for number, device in enumerate(devices) if number not in gone]
    # tc names no device in its answers, so they are told apart by order. A filter answer is always one JSON line; a
    # class answer is one too since iproute2 6.7, and as many lines of text as there are classes before that.
    lines = [line for line in output.stdout.splitlines() if line.strip()]
    count = sum(line.startswith('[') for line in lines)
    if count not in (len(present), 2 * len(present)):
        raise EnforcementError(f'{output.where} gave {count} answers for {len(present)} devices: read again')
    found: dict[str, Shaping] = {}
    answers = iter(lines)
    for device in present:
        classes: list[Any] = []
        if count > len(present):
            classes = json.loads(next(answers))
        while not (line := next(answers)).startswith('['):
            classes.append(line)
        leaves = [shaper for shaper in map(_parse_class, classes) if shaper is not None]
        found[device] = Shaping(tuple(leaves), tuple(_redirects(json.loads(line))))
    return found


def pick_class(device: str, leaves: Sequence[Shaper], classid: str) -> Shaper:
    """The leaf class named `classid`, or the only one. Raises `LineError` where that is none or not one."""
    found = [leaf for leaf in leaves if leaf.classid in (classid, CLASSID)] if classid else leaves
    if len(found) != 1:
        wanted = f'leaf class {classid}' if classid else 'leaf class'
        raise LineError(f'{device} has {len(found)} HTB classes where one {wanted} is needed')
    return found[0]


def _parse_class(entry: Any) -> Shaper | None:
    """A class as tc prints it, as JSON or as a line of text; `None` for another kind, and for one that is no leaf.

    Leaves only, because HTB gives each its own `rate` whatever the class above it may have left.
    """
    values = _class_words(entry) if isinstance(entry, str) else entry
    if values.get('class') != 'htb' or 'prio' not in values:
        return None
    try:
        # As JSON, rates are bytes a second, exact; as text they are rounded for reading.
        rate, ceil = (8 * values[name] if isinstance(values[name], int) else _bits(values[name]) for name in RATES)
        burst, cburst = (_bytes(str(values[name])) for name in ('burst', 'cburst'))
        rest = (int(values[name]) if name in values else None for name in ('prio', 'quantum', 'overhead'))
        return Shaper(values['handle'], values.get('parent', 'root'), rate, ceil, burst, cburst, *rest)
    except (KeyError, ValueError):
        raise EnforcementError(f'this HTB class cannot be read: "{str(entry).strip()}"') from None


def _class_words(line: str) -> dict[str, Any]:
    match = CLASS_LINE.match(line)
    if match is None:
        return {}
    named = {name: value for name, value in match.groupdict().items() if value is not None}
    return named | dict(CLASS_WORDS.findall(line))


def _redirects(filters: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    for entry in filters:
        options = entry.get('options') or {}
        if options and 'ht_divisor' not in options:  # u32 also lists the hash table that it makes by itself
            devices = [str(action['to_dev']) for action in options.get('actions', ()) if 'to_dev' in action]
            found.append(devices[0] if devices else '')
    return found


def _bits(text: str) -> int:
    match = RATE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * BITS[match[2]]


def _bytes(text: str) -> int:
    match = SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return round(float(match[1]) * BYTES[match[2] or 'b'])


# --- writing ---------------------------------------------------------------------------------------------------


def download_lines(interface: str, have: Shaper | None, want: Shaper | None) -> list[str]:
    """Batch lines from what is there to what is wanted at the root of a device. Raises `LineError`."""
    if want is None:
        if have is not None and not have.is_ours:
            raise LineError(f'the shaping of {interface} is not of our making and is not removed')
        return [] if have is None else [f'qdisc del dev {interface} root']
    lines = [] if have else [f'qdisc add dev {interface} root handle {HANDLE} htb default 1']
    lines.append(_class_line(interface, want))
    if want.is_ours:
        # 100 ms of full packets: HTB's own leaf takes the device's queue length, seconds long on a slow line.
        packets = max(16, want.ceil // (10 * 8 * MTU))
        lines.append(f'qdisc replace dev {interface} parent {CLASSID} handle {LEAF} pfifo limit {packets}')
    return lines


def upload_lines(interface: str, device: str, have: Shaper | None, want: Shaper | None) -> list[str]:
    """As `download_lines`, for the upload of `interface` through `device`, which exists already."""
    if want is None:
        if have is not None and not have.is_ours:
            raise LineError(f'the upload shaping of {interface} is not of our making and is not removed')
        return [] if have is None else [f'filter del dev {interface} ingress {FILTER}']
    lines = download_lines(device, have, want)
    if have is None:
        lines += [
            f'qdisc add dev {interface} ingress',
            f'filter add dev {interface} ingress {FILTER} u32 match u32 0 0 action mirred egress redirect dev {device}',
        ]
    return lines


def device_lines(device: str) -> list[str]:
    """`ip -batch` lines that make an ifb device."""
    return [f'link add name {device} type ifb', f'link set dev {device} up']


def _class_line(device: str, want: Shaper) -> str:
    verb = 'replace' if want.is_ours else 'change'  # a class of others is changed where it stands, never made
    parent = 'root' if want.parent == 'root' else f'parent {want.parent}'
    if want.parent == 'root':
        parent = f'parent {want.classid.partition(":")[0]}:'
    line = (
        f'class {verb} dev {device} {parent} classid {want.classid} htb rate {want.rate}bit ceil {want.ceil}bit '
        f'burst {want.burst} cburst {want.cburst}'
    )
    options = {'prio': want.prio, 'quantum': want.quantum, 'overhead': want.overhead}
    return line + ''.join(f' {name} {value}' for name, value in options.items() if value is not None)
