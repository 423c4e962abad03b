"""The exception family of `nornir_tasks`: each says what, where, and what to do."""

# What ends the work, whatever it is in the middle of: the time limit of a job. It is raised out of nowhere, as an
# ordinary exception, so whoever catches all others asks `is_interruption` first. Whoever runs us adds what it is there.
INTERRUPTIONS: list[type[Exception]] = []


def is_interruption(error: BaseException) -> bool:
    """True for what must be raised on, by whoever catches it among others."""
    return isinstance(error, tuple(INTERRUPTIONS))


class EnforcementError(Exception):
    """Base of all errors raised by this package. `str(error)` is a sentence fit for an operator."""


class ConfigurationError(EnforcementError):
    """A setting, parameter or driver name is wrong; nothing was contacted."""


class CredentialMissingError(ConfigurationError):
    """A credential name has no secret in the environment or the credentials directory."""


class CredentialRefusedError(CredentialMissingError):
    """A credential is not for the host or the driver that it would have been sent to. Nothing was sent."""


class PointUnreachableError(EnforcementError):
    """The enforcement point could not be connected to, or the connection died and did not come back."""


class HostKeyRefusedError(PointUnreachableError):
    """The point showed an SSH host key other than the pinned one. Nothing was sent to it."""


class LoginRefusedError(PointUnreachableError):
    """The point refused the credential."""


class PointTimeoutError(EnforcementError):
    """The point did not answer in time. What was in flight is *unknown*: read it before sending again."""
