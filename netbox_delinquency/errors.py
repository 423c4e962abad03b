"""What this plugin raises: one family. A class that Django must know by another name has that as its second base."""

__all__ = ('DelinquencyError', 'RunRefusedError')


class DelinquencyError(Exception):
    """Something cannot be done as asked; the text says what, where, and what to do."""


class RunRefusedError(DelinquencyError):
    """A run cannot be planned, approved, started or cancelled as asked; the text says why and what to do.

    Its `reason` is one of `reasons.py`, with a code for programs; the text is in the language of whoever is answered.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return getattr(self.reason, 'translated', self.reason)  # reasons are a layer above errors
