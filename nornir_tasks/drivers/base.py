"""What every driver is: a reader and a writer of many lines on one enforcement point.

The engine (`nornir_tasks.engine.tasks`) owns the order read → compare → apply → read back, batches, the journal and the
judgement of outcomes; a driver only knows how its kind of box is read and written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nornir_tasks.change import AccessChange, AccessTarget, Reading, Reply


class DriverParameters(BaseModel):
    """Base of a driver's parameter schemas: unknown names are refused, values are not changed after validation."""

    model_config = ConfigDict(extra='forbid', frozen=True, hide_input_in_errors=True)


class SSHOptions(DriverParameters):
    """How a point is reached by SSH, where plainly is not enough."""

    jump_host: str = Field(
        default='',
        pattern=r'^[A-Za-z0-9._:\[\]-]*$',
        description='Host that the point is reached through; 10.0.0.1 or [::1]:2222',
    )
    jump_credential: str = Field(default='', description="Name of the jump host's credential; empty: the point's own")
    jump_host_key: str = Field(
        default='', description="The jump host's key, as the point's: known_hosts form or SHA256:…"
    )
    trust_first_key: bool = Field(
        default=False,
        description='Take the host key that is shown at the first connection, remember it on this worker and take no '
        'other; for a laboratory. Pin the key instead wherever somebody might be in between',
    )


class SSHPointParameters(DriverParameters):
    """Base of the point parameters of drivers that use SSH."""

    ssh: SSHOptions = Field(SSHOptions(), description='Jump host and trust')


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a driver can do; the support table in the docs is made from these."""

    throttle: bool
    block: bool
    stored: bool  # keeps a policy that survives a reconnect
    live: bool  # changes a session that is up, without dropping it
    redirect: bool = False  # a blocked line reaches the notice page
    ipv6: bool = False
    read_back: bool = True  # says how a line stands, so that an acknowledgement need not be believed
    ttl: bool = False  # can put a limit of time on a change, after which the box undoes it by itself
    check: bool = False  # tells what the box lacks (`Driver.check`)
    cpe_values: bool = False  # sets any parameter of a CPE (rows that desire a `ValueSet`)
    clear: bool = False  # ends one session, so that it comes back with the policy kept elsewhere


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at on a point before it is used: `subject` names it, `message` is a sentence for the operator.

    `add` are the exact lines for the box that put it right, in order; empty where that is not ours to decide.
    A finding that is not ok and not `required` is a warning: the point works, but not as one would expect.
    """

    subject: str
    ok: bool
    message: str = ''
    add: tuple[str, ...] = ()
    required: bool = True


class Driver(ABC):
    """Reads and changes the lines of one enforcement point through one open connection.

    `connection` is what the Nornir connection plugin named by `connection_name` opened (for SSH an
    `nornir_tasks.connections.ssh.SSHSession`). Both methods take any number of rows and return exactly one entry for
    each, by `AccessTarget.key` and `AccessChange.key`. A row's failure is data in its entry. An exception of the
    `EnforcementError` family means the *point* failed, and every row of the call is then unknown.

    `stop` is set by the engine. `apply` asks it before it sends a row (or a group of rows that goes out as one); once
    it says True, nothing more is sent and the rows left are answered with `Reply(None, sent=False)`.
    """

    name: ClassVar[str]
    abilities: ClassVar[Abilities]
    connection_name: ClassVar[str] = 'netbox_delinquency_ssh'
    parameters: DriverParameters  # of the point, as its `PointParameters`
    redials: ClassVar[bool] = True  # a session that a change drops comes back by itself within seconds: wait for it
    stop: Callable[[], bool] = staticmethod(lambda: False)
    login_suffix: ClassVar[str] = ''  # appended to the user name of an SSH login (a console option of RouterOS)

    class PointParameters(DriverParameters):
        """Parameters of an enforcement point."""

    class LineParameters(DriverParameters):
        """Parameters of a service plan or a line, under this driver's name."""

    def __init__(self, connection: Any, parameters: Mapping[str, Any]) -> None:
        """Raises `pydantic.ValidationError` where `parameters` do not fit `PointParameters`."""
        self.connection = connection
        self.parameters = self.PointParameters.model_validate(dict(parameters))

    # Which of a target's identities this driver sends: of these groups the first that a target has anything of.
    identities: ClassVar[tuple[tuple[str, ...], ...]] = (('username',),)

    @classmethod
    def identity(cls, target: AccessTarget) -> str:
        """The line as it is named on the wire here (`username=ana`); empty where it has no name for this driver.

        What was changed at a point is known by this again, whatever NetBox calls the line by then.
        """
        for group in cls.identities:
            if found := [f'{name}={value}' for name in group if (value := getattr(target, name))]:
                return ' '.join(found)
        return ''

    @abstractmethod
    def read(self, targets: Sequence[AccessTarget]) -> dict[str, Reading]:
        """How each line stands. A selector that matches nothing, or more than one, is a `Reading` with its error."""

    @abstractmethod
    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        """Send the changes; `before` holds each line's reading by `AccessTarget.key`, taken just now, none an error."""

    def sessions(self) -> int | None:
        """How many subscribers' sessions the box has right now, ours or not; `None`: this driver cannot say.

        Asked before the first row and after each batch, so it must be cheap. Raises `EnforcementError` where the point
        failed.
        """
        return None

    def missing_names(self, names: Collection[str]) -> set[str]:
        """Which of these names of policies the box surely does not have; none where it cannot be asked."""
        return set()

    def check(self, now: datetime) -> list[Finding]:
        """What this box lacks or has, found by reading only. `now` has a time zone; the clock is compared with it.

        Reachability, host key and login are known to be good once there is a driver. Nothing is looked at here by
        default. Raises `EnforcementError` where the point failed.
        """
        return []

    def prepare(self, findings: Sequence[Finding]) -> list[Reply]:
        """Add the lines of findings that are not ok, in order; one reply for each line, stopping at the first refused.

        Raises `EnforcementError` where the point failed.
        """
        return [
            Reply(False, f'the driver "{self.name}" adds nothing by itself: add "{line}"')
            for line in lines_of(findings)
        ]


def lines_of(findings: Sequence[Finding]) -> list[str]:
    """Every line that the findings want added, in order, each once."""
    return list(dict.fromkeys(line for finding in findings if not finding.ok for line in finding.add))


def unsent(changes: Iterable[AccessChange]) -> dict[str, Reply]:
    """The answer to rows that `Driver.stop` came before."""
    return {change.key: Reply(None, sent=False) for change in changes}


def fields_of(error: ValidationError) -> str:
    """What is wrong with parameters, without their values."""
    return ', '.join('.'.join(map(str, item['loc'])) + ': ' + item['msg'] for item in error.errors())


def line_parameters[P: DriverParameters](kind: type[P], target: AccessTarget) -> tuple[P, str]:
    """The plan's and the line's parameters, and why the line must not be restricted by them.

    Where it is known from before what the line had, wrong ones are no obstacle to reading it and to giving it back.
    Raises `ValidationError`.
    """
    try:
        return kind.model_validate(dict(target.parameters)), ''
    except ValidationError as error:
        if not target.baseline and not target.restricted:
            raise
        return kind.model_validate({}), f'its parameters are wrong: {fields_of(error)}'
