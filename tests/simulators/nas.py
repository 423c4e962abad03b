"""NASes of all dialects: what a vendor's CoA does to a session, on the very sessions that the vendor's console shows.

A `Nas` is a strict `BNG` whose sessions live in a `Box` (see `tests.simulators.console`), so that one truth is seen
from RADIUS and from SSH. What a session gets when it dials is what FreeRADIUS answered; what CoA does to it is in the
class of its dialect, with that vendor's traps: Huawei's stale PIR and its unknown profile that drops the user,
Juniper's complete activation strings, Nokia's silence about what it does not know.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.simulators.bng import BNG, Line, decode, listening
from tests.simulators.console import Box, Session

Pairs = list[tuple[str, str]]
UNSUPPORTED, INVALID_VALUE = 401, 407
WITHOUT_A_REASON = 0


class RefusedError(Exception):
    """The NAS answers with this Error-Cause, and has changed nothing."""


class Dialect:
    """One kind of NAS. `session` is changed in place; `box.profiles` are the names that the box knows."""

    def __init__(self, box: Box) -> None:
        self.box = box

    def session_id(self, session: Session) -> str:
        return f'{self.box.name}-{session.number}'

    def grant(self, session: Session, pairs: Pairs) -> None:
        """What an Access-Accept gives a session that comes up."""
        self.change(session, pairs)

    def change(self, session: Session, pairs: Pairs) -> None:
        """What a CoA-Request does. Raises `RefusedError`."""
        raise NotImplementedError

    def rates(self, session: Session) -> tuple[int, int] | None:
        """(down, up) in kbit/s that the subscriber really gets; `None` where names decide."""
        return None

    def known(self, name: str) -> str:
        if name not in self.box.profiles:
            raise RefusedError(INVALID_VALUE)
        return name

    def has(self, session: Session, *policies: str) -> None:
        session.policies = tuple(dict.fromkeys(policies))


class Filter(Dialect):
    """Filter-Id names a filter that must exist; an ACK for a nonsense one with nothing changed was seen in practice."""

    def change(self, session: Session, pairs: Pairs) -> None:
        for name, value in pairs:
            if name == 'Filter-Id' and value in self.box.profiles:
                self.has(session, value)


class AccelPPP(Dialect):
    """The shaper takes `down/up` in kbit/s out of Filter-Id; the pool is only given when the session comes up.

    Where the kernel lacks the policer of the upload, the download is changed, and then the request is refused without
    an Error-Cause; asked for the same again it compares with what it was asked before, and acknowledges.
    """

    lacks_policer = False

    def change(self, session: Session, pairs: Pairs) -> None:
        for name, value in pairs:
            if name == 'Filter-Id':
                if not re.fullmatch(r'\d+/\d+', value):
                    raise RefusedError(INVALID_VALUE)
                down, up = map(int, value.split('/'))
                if (session.rates.get('down'), session.rates.get('asked')) == (down, up):
                    return  # it has that already, as far as it remembers
                session.rates |= {'down': down, 'asked': up}
                if self.lacks_policer and session.rates.get('up') is not None:
                    raise RefusedError(WITHOUT_A_REASON)
                session.rates['up'] = up

    def grant(self, session: Session, pairs: Pairs) -> None:
        self.change(session, pairs)
        self.has(session, *(value for name, value in pairs if name == 'Framed-Pool'))

    def rates(self, session: Session) -> tuple[int, int] | None:
        return (session.rates['down'], session.rates['up']) if 'down' in session.rates else None


class HuaweiRates(Dialect):
    """CIR and PIR in bit/s, each kept as it was sent: a CIR that is lowered alone leaves the PIR, and so the rate."""

    FIELDS = {
        'Huawei-Input-Average-Rate': 'up-cir', 'Huawei-Input-Peak-Rate': 'up-pir',
        'Huawei-Output-Average-Rate': 'down-cir', 'Huawei-Output-Peak-Rate': 'down-pir',
    }  # fmt: skip

    def change(self, session: Session, pairs: Pairs) -> None:
        for name, value in pairs:
            if name in self.FIELDS:
                session.rates[self.FIELDS[name]] = int(value)
            elif name == 'Filter-Id':
                self.has(session, value)

    def rates(self, session: Session) -> tuple[int, int] | None:
        """What passes is up to the peak rate."""
        if 'down-pir' not in session.rates:
            return None
        return session.rates['down-pir'] // 1000, session.rates['up-pir'] // 1000


class HuaweiProfile(Dialect):
    """A QoS profile by name, in small letters; one that does not exist puts the user offline (`no-exist-policy`)."""

    def change(self, session: Session, pairs: Pairs) -> None:
        for name, value in pairs:
            if name == 'Huawei-Qos-Profile-Name':
                if value.lower() not in self.box.profiles:
                    self.box.sessions.remove(session)
                    self.box.stays_offline.add(session.username)
                    return
                self.has(session, value.lower())


class CiscoISG(Dialect):
    """One command a request: a service is activated beside the others, or deactivated."""

    def change(self, session: Session, pairs: Pairs) -> None:
        words = dict(value.removeprefix('subscriber:').split('=', 1) for name, value in pairs if name == 'Cisco-AVPair')
        service = words.get('service-name', '')
        if words.get('command') == 'activate-service':
            self.has(session, *session.policies, self.known(service))
        elif words.get('command') == 'deactivate-service':
            if service not in session.policies:
                raise RefusedError(INVALID_VALUE)
            self.has(session, *(name for name in session.policies if name != service))
        else:
            raise RefusedError(UNSUPPORTED)

    def grant(self, session: Session, pairs: Pairs) -> None:
        self.has(session, *(value[1:] for name, value in pairs if name == 'Cisco-Account-Info' and value[:1] == 'A'))


class CiscoIOSXR(Dialect):
    """`sd` and `sa` in their order, all or nothing."""

    def session_id(self, session: Session) -> str:
        return f'{session.number:08x}'

    def change(self, session: Session, pairs: Pairs) -> None:
        services = list(session.policies)
        for name, value in pairs:
            verb, _, service = value.removeprefix('subscriber:').partition('=')
            if name == 'Cisco-AVPair' and verb == 'sd':
                if service not in services:
                    raise RefusedError(INVALID_VALUE)
                services.remove(service)
            elif name == 'Cisco-AVPair' and verb == 'sa':
                services.append(self.known(service))
        self.has(session, *services)


class Juniper(Dialect):
    """Deactivations before activations; a service is known by its complete activation string and by no other."""

    def session_id(self, session: Session) -> str:
        return str(session.number)

    def change(self, session: Session, pairs: Pairs) -> None:
        services = list(session.policies)
        for name, value in pairs:
            if name == 'ERX-Service-Deactivate':
                if value not in services:
                    raise RefusedError(INVALID_VALUE)
                services.remove(value)
        services += [self.known(value) for name, value in pairs if name == 'ERX-Service-Activate']
        self.has(session, *services)


class Nokia(Dialect):
    """SLA profile, and overrides of queue 1 on top of it; anything else is ignored without a word."""

    def session_id(self, session: Session) -> str:
        return f'{session.number:016X}'

    def change(self, session: Session, pairs: Pairs) -> None:
        for name, value in pairs:
            if name == 'Alc-SLA-Prof-Str':
                self.has(session, self.known(value))
            elif name == 'Alc-Subscriber-QoS-Override':
                way, kind, queue, settings = value.split(':')
                if (kind, queue) != ('Q', '1'):
                    raise RefusedError(INVALID_VALUE)
                for setting in settings.split(','):
                    key, _, number = setting.partition('=')
                    session.rates[f'{way}-{key}'] = int(number)
        session.rates = {key: rate for key, rate in session.rates.items() if rate != -2}

    def rates(self, session: Session) -> tuple[int, int] | None:
        return (session.rates['E-pir'], session.rates['I-pir']) if 'E-pir' in session.rates else None


DIALECTS: dict[str, type[Dialect]] = {
    'generic': Filter,
    'accel_ppp': AccelPPP,
    'huawei': HuaweiRates,
    'huawei_profile': HuaweiProfile,
    'cisco_isg': CiscoISG,
    'cisco_iosxr': CiscoIOSXR,
    'juniper': Juniper,
    'nokia': Nokia,
    'nokia_override': Nokia,
}


@dataclass
class Nas(BNG):
    """`half` users have only the first half of a request's attributes carried out, and are refused without a reason."""

    box: Box = field(default_factory=Box)
    dialect: str = 'generic'
    ignores: set[str] = field(default_factory=set)  # names of attributes that are skipped without a word

    def __post_init__(self) -> None:
        self.kind = DIALECTS[self.dialect](self.box)
        self.box.ended = self._cleared

    def session(self, name: str) -> Session | None:
        return next(iter(self.box.of(name)), None)

    def policies(self, name: str) -> tuple[str, ...] | None:
        """Names of what a subscriber has right now; `None`: offline."""
        session = self.session(name)
        return session.policies if session else None

    def rates(self, name: str) -> tuple[int, int] | None:
        session = self.session(name)
        return self.kind.rates(session) if session else None

    def grant(self, line: Line, accept: bytes) -> bool:
        self.box.radius[line.name] = ()
        session = self.box.dial(line.name)
        if session is None:
            return False
        self.kind.grant(session, decode(accept))
        if session not in self.box.sessions:
            return False
        line.session_id = self.kind.session_id(session)
        return True

    def hang_up(self, name: str) -> None:
        self.box.sessions = [session for session in self.box.sessions if session.username != name]
        super().hang_up(name)

    def _cleared(self, name: str) -> None:
        """A console ended the session: the rest is as after a Disconnect."""
        threading.Thread(target=self._redial, args=(name,), daemon=True).start()

    def _redial(self, name: str) -> None:
        self.hang_up(name)
        time.sleep(self.redial_after)
        self.dial(name)

    def _apply(self, code: int, line: Line, attributes: list[tuple[int, bytes]]) -> int | None:
        session = self.session(line.name)
        if code == 40 or session is None:
            return super()._apply(code, line, [])
        pairs = [pair for pair in self._decoded(attributes) if pair[0] not in self.ignores]
        if line.name in self.half:
            pairs = pairs[: len(pairs) // 2]
        try:
            self.kind.change(session, pairs)
        except RefusedError as refused:
            return int(refused.args[0])
        line.changes += 1
        if session not in self.box.sessions:  # the change put the user offline
            super().hang_up(line.name)
        return None

    @staticmethod
    def _decoded(attributes: list[tuple[int, bytes]]) -> Pairs:
        packet = bytes(20) + b''.join(bytes((number, len(value) + 2)) + value for number, value in attributes)
        identity = ('User-Name', 'Acct-Session-Id', 'NAS-IP-Address', 'Framed-IP-Address')
        return [pair for pair in decode(packet) if pair[0] not in identity]


@contextlib.contextmanager
def nas(dialect: str, box: Box | None = None, **values: object) -> Iterator[Nas]:
    """One NAS, on the sessions of `box` where it has a console."""
    with listening(Nas(dialect=dialect, box=box or Box(), **values), socket.AF_INET) as server:  # type: ignore[arg-type]
        assert isinstance(server, Nas)
        yield server
