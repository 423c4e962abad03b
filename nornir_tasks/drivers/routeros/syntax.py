"""Text for RouterOS's console and from it: quoting, reading rows, and steps that first count what they match.

An empty `[find]` means *every* row on RouterOS, and so would a name that ends its own quotes. Nothing here puts a value
into a command except through `quote`, and no step sets or removes anything before the box itself has counted one match.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise

from nornir_tasks.connections.ssh.shell import Prompt
from nornir_tasks.drivers.routeros.prefix import ipv6_pattern
from nornir_tasks.errors import EnforcementError
from nornir_tasks.storable import ESCAPED, escape, unescape

# `[admin@bras-1] > `, `[admin@bras-1] /ppp secret> `, `[admin@bras-1] <SAFE> > `
PROMPT = Prompt(
    re.compile(r'\[[^\]\r\n]*@[^\]\r\n]*\] ?(?:<SAFE> ?)?(?:/[^>\r\n]*)?> '),
    marked=lambda command, a, b: f'{command}; :put ("{a}"."{b}")' if command else f':put ("{a}"."{b}")',
    most=32_000_000,  # all rows of a large router's menu
)
# Values that RouterOS itself writes, never with a semicolon in them; every other one may hold anything.
PLAIN = frozenset({
    'address', 'burst-limit', 'burst-threshold', 'burst-time', 'disabled', 'dynamic', 'limit-at', 'max-limit',
    'service', 'timeout',
})  # fmt: skip
ROW = re.compile(r'nbd-row:([0-9,]*);')
ROWS = re.compile(r'nbd-rows:([0-9]+)')
DONE = 'nbd-ok'
UNREADABLE = '\N{REPLACEMENT CHARACTER}'  # in a name that cannot be told from another one's escaped form
SAY_DONE = ':put ("nbd-"."ok")'  # not joined, so that an echo of the line is no confirmation
QUOTED = {'"': '\\"', '\\': '\\\\', '$': '\\$', '?': '\\3F'}  # version 6 takes a typed ? as a call for help


def quote(text: str) -> str:
    """`text` as one RouterOS string. Raises `ValueError` for control characters, which a console acts upon.

    Bytes above ASCII are sent as `\\XX`: a console's idea of a typed accent depends on the terminal. So are those that
    were read from the box and are no UTF-8 (`nornir_tasks.storable`).
    """
    parts = []
    for character in unescape(text):
        number = ord(character)
        if 0xDC80 <= number <= 0xDCFF:
            parts.append(f'\\{number - 0xDC00:02X}')
        elif unicodedata.category(character) in ('Cc', 'Cs', 'Zl', 'Zp'):
            raise ValueError(f'it holds the control character U+{number:04X}')
        elif number < 128:
            parts.append(QUOTED.get(character, character))
        else:
            parts += [f'\\{byte:02X}' for byte in character.encode()]
    return f'"{"".join(parts)}"'


def any_of(pairs: Iterable[tuple[str, str]]) -> str:
    """A condition that holds where any property has its value."""
    return ' or '.join(f'{name}={quote(value)}' for name, value in pairs)


def rows_command(menu: str, fields: Sequence[str], where: str = '') -> str:
    """Print rows of a menu so that no value, whatever it holds, can be taken for another (see `parse_rows`)."""
    texts = [field for field in fields if field not in PLAIN]
    values = ''.join(f':local v{number} [:tostr ($r->"{field}")];' for number, field in enumerate(texts))
    names = [f'$v{number}' for number in range(len(texts))]
    lengths = '.",".'.join(f'[:len {name}]' for name in names) or '""'
    pieces = [lengths, '";"', *(f'($r->"{field}").";"' for field in fields if field in PLAIN), *names]
    condition = f' where {where}' if where else ''
    return (
        f':local n 0; :foreach r in=[/{menu} print as-value proplist={",".join(fields)}{condition}] '
        f'do={{:set n ($n+1);{values}:put ("nbd-row:".{".".join(pieces)})}}; :put ("nbd-rows:".$n)'
    )


def parse_rows(answer: str, fields: Sequence[str], menu: str) -> list[dict[str, str]]:
    """Rows printed by `rows_command`: the byte lengths of all free texts, plain values each with a semicolon after it,
    then the texts in one piece.

    A row that does not fit (a line break in a name) is left out, for no login can ask for it. Raises `EnforcementError`
    where the router did not count as many rows as there are: something is missing, or a name passes itself off as one.
    """
    names = [*(field for field in fields if field in PLAIN), *(field for field in fields if field not in PLAIN)]
    count_plain = sum(field in PLAIN for field in fields)
    rows: list[dict[str, str]] = []
    count = None
    seen = 0
    for line in answer.split('\n'):
        if match := ROW.match(line):
            seen += 1
            *values, texts = line[match.end() :].split(';', count_plain)
            values += _cut(texts, [int(length) for length in match[1].split(',') if length])
            if len(values) == len(names):
                rows.append(dict(zip(names, map(_storable, values), strict=True)))
        elif match := ROWS.fullmatch(line):
            count = int(match[1])
    if seen != count:
        raise EnforcementError(f'/{menu} could not be read: {plain(answer) or "no answer"}')
    return rows


def _cut(text: str, lengths: Sequence[int]) -> list[str]:
    """The pieces of those byte lengths; nothing where they are not exactly all of it."""
    ends = list(accumulate(lengths, initial=0))
    pieces = [slice(*pair) for pair in pairwise(ends)]
    if text.isascii():
        return [text[piece] for piece in pieces] if ends[-1] == len(text) else []
    data = text.encode('utf-8', 'surrogateescape')
    return [data[piece].decode('utf-8', 'surrogateescape') for piece in pieces] if ends[-1] == len(data) else []


def _storable(text: str) -> str:
    """A value with its bytes that are no UTF-8 escaped, as names are kept, compared and put back by `quote`."""
    return escape(ESCAPED.sub(UNREADABLE, text))


def plain(answer: str) -> str:
    """The last words of an answer, fit for a message."""
    text = ' '.join(line.strip() for line in answer.split('\n') if not line.startswith(('nbd-row', DONE)))
    return ''.join(character if character.isprintable() else '?' for character in text.strip())[-200:]


# --- steps of a change; joined by "; " they are one console line, which stops at the first error ---


def set_profile(name: str, profile: str) -> str:
    return (
        f':local s [/ppp secret find name={quote(name)}]; '
        ':if ([:len $s]!=1) do={:error "not exactly one secret has this name"}; '
        f'/ppp secret set $s profile={quote(profile)}'
    )


def add_profile(name: str, base: str, rate_limit: str) -> str:
    return (
        f':if ([:len [/ppp profile find name={quote(name)}]]=0) do={{'
        f'/ppp profile add copy-from=[/ppp profile find name={quote(base)}] '
        f'name={quote(name)} rate-limit={quote(rate_limit)}}}'
    )


def enable_secret(name: str) -> str:
    return (
        f':local d [/ppp secret find name={quote(name)}]; '
        ':if ([:len $d]!=1) do={:error "not exactly one secret has this name"}; /ppp secret enable $d'
    )


def remove_session(name: str) -> str:
    """Nothing where there is none: the next one gets the new profile anyway."""
    return (
        f':local a [/ppp active find name={quote(name)}]; '
        ':if ([:len $a]>1) do={:error "more than one session has this name"}; '
        ':if ([:len $a]=1) do={/ppp active remove $a}'
    )


def remove_session_at(number: int, name: str, address: str) -> str:
    """Of several sessions of one name the one with that address."""
    return (
        f':local a{number} [/ppp active find name={quote(name)} address={quote(address)}]; '
        f':if ([:len $a{number}]=1) do={{/ppp active remove $a{number}}}'
    )


def set_queue(name: str, limits: Mapping[str, str]) -> str:
    return (
        f':local q [/queue simple find name={quote(name)}]; '
        ':if ([:len $q]!=1) do={:error "not exactly one queue has this name"}; '
        f'/queue simple set $q {" ".join(f"{key}={quote(value)}" for key, value in limits.items())}'
    )


def add_queue(name: str, target: str, max_limit: str) -> str:
    return (
        f':if ([:len [/queue simple find name={quote(name)}]]=0) do={{'
        f'/queue simple add name={quote(name)} target={quote(target)} max-limit={quote(max_limit)}}}'
    )


def remove_queue(name: str) -> str:
    return (
        f':local q [/queue simple find name={quote(name)}]; '
        ':if ([:len $q]!=1) do={:error "not exactly one queue has this name"}; /queue simple remove $q'
    )


def add_entry(family: str, listed: str, address: str, timeout: str = '') -> str:
    menu = f'/{family} firewall address-list'
    expiry = f' timeout={quote(timeout)}' if timeout else ''
    return (
        f':if ([:len [{menu} find list={quote(listed)} address={quote(address)}]]=0) do={{'
        f'{menu} add list={quote(listed)} address={quote(address)}{expiry}}}'
    )


def remove_entry(number: int, family: str, listed: str, address: str) -> str:
    """The one that was put there by hand or for a while; that of a session's profile goes with its session."""
    menu = f'/{family} firewall address-list'
    entry, seen = f'$e{number}', f'n{number}'
    ours = f'([{menu} get {entry} dynamic]=false) or ([:len [{menu} get {entry} timeout]]>0)'
    every = f'e{number} in=[{menu} find list={quote(listed)} address={quote(address)}]'
    return (
        f':local {seen} 0; :foreach {every} do={{:if ({ours}) do={{:set {seen} (${seen}+1)}}}}; '
        f':if (${seen}>1) do={{:error "more than one entry has this address"}}; '
        f':foreach {every} do={{:if ({ours}) do={{{menu} remove {entry}}}}}'
    )


def flush_connections(address: str) -> str:
    """Forget an IPv4 address's tracked connections, which fasttrack would keep passing; those that end meanwhile
    are no failure. Raises `ValueError` for what is no address."""
    return _flush('/ip firewall connection', '^' + str(ipaddress.IPv4Address(address)).replace('.', '\\.') + '(:|$)')


def flush_connections_v6(prefix: str) -> str:
    """The same for an IPv6 prefix; empty where its addresses cannot be told by their text (see `ipv6_pattern`)."""
    pattern = ipv6_pattern(prefix)
    return _flush('/ipv6 firewall connection', pattern) if pattern else ''


def _flush(menu: str, pattern: str) -> str:
    return (
        f':do {{{menu} remove [{menu} find src-address~{quote(pattern)} or dst-address~{quote(pattern)}]}} '
        'on-error={}'
    )
