"""The exception family of `tr069`: each says what, where, and what to do."""

from __future__ import annotations

import yaml


class Tr069Error(Exception):
    """Base of all errors raised by this package. `str(error)` is a sentence fit for an operator."""


class CwmpDecodeError(Tr069Error):
    """An envelope cannot be understood. `fault_code` is what the sender gets (8000-8006)."""

    def __init__(self, message: str, fault_code: int = 8003) -> None:
        super().__init__(message)
        self.fault_code = fault_code


class UnsafeXmlError(CwmpDecodeError):
    """The document carries a DTD, is too big or too deep. It was not parsed, or parsing was given up."""


class MalformedXmlError(UnsafeXmlError):
    """The document is not well-formed. A recovering parser may read it, where its model's profile allows that."""


class AcsError(Tr069Error):
    """The ACS refused, or answered what its interface does not allow."""


class AcsUnreachableError(AcsError):
    """The ACS could not be connected to, or did not answer in time. What was asked is *unknown*: read it first."""


class AcsRefusedError(AcsError):
    """The ACS refused the credential."""


class DeviceUnknownError(AcsError):
    """The ACS has no such device."""


class ProfileError(Tr069Error):
    """A device profile (YAML) or a set of values is wrong; nothing was sent."""


class NoLeverError(Tr069Error):
    """The device offers nothing that does what was asked."""


class GuardRefusedError(Tr069Error):
    """The change could cut the management session, or that could not be ruled out. Nothing was sent."""


def without_contents(error: Exception) -> str:
    """What is wrong with a file and where, without a word of what stands in it.

    Whoever names the file need not be allowed to read it: an error that quotes a line of it would be a way to.
    """
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f' in line {mark.line + 1}, column {mark.column + 1}' if mark is not None else ''
        return f'is not YAML{where}'
    if isinstance(error, yaml.YAMLError):
        return 'is not YAML'
    if isinstance(error, UnicodeDecodeError):
        return f'is not UTF-8: byte {error.start}'
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)
