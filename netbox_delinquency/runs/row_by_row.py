"""One row's data never stops a batch: what a box printed and the database does not take is that row's affair alone.

Readings are made storable where they are made (`nornir_tasks.storable`); this stands behind that, for what nobody
thought of, and for what another session did meanwhile (a line deleted under its row).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

from django.db import DataError, IntegrityError

from nornir_tasks.change import ChangeResult, Outcome, Reading
from nornir_tasks.engine.breaker import Health

__all__ = ('DATA_ERRORS', 'RowByRow')

# The row's data, not the database: `ValueError` where a text cannot even be sent there.
DATA_ERRORS = (DataError, IntegrityError, ValueError)

logger = logging.getLogger('netbox_delinquency.runs')


class RowByRow(ABC):
    """The writing half of a journal: a batch in one transaction, and where its data does not fit, row by row."""

    @abstractmethod
    def _send(self, before: Mapping[str, Reading]) -> Mapping[str, str]:
        """One transaction: these rows are sent next. Returns why some are not, by key."""

    @abstractmethod
    def _finish(self, results: Sequence[ChangeResult]) -> None:
        """One transaction: these rows are closed."""

    @abstractmethod
    def _health(self, point: str, health: Health) -> None:
        """One transaction: how a point is."""

    @abstractmethod
    def _gives_back(self, key: str) -> bool:
        """Whether the row brings its line back to normal."""

    def send_rows(self, before: Mapping[str, Reading]) -> Mapping[str, str]:
        """Why rows must not be sent after all, by key. A row that restricts is not, where its way back is lost."""
        try:
            return self._send(before)
        except DATA_ERRORS as error:
            if len(before) > 1:
                refused: dict[str, str] = {}
                for key, reading in before.items():
                    refused |= self.send_rows({key: reading})
                return refused
            ((key, reading),) = before.items()
            logger.exception('row %s: what was read before it cannot be stored', key)
            if self._gives_back(key):  # whoever paid needs no way back to how it was
                return self._send({key: Reading(reading.stored, reading.live)})
            return {key: f'what was read cannot be stored ({_kind(error)}), and without it there is no way back'}

    def finished(self, results: Sequence[ChangeResult]) -> None:
        """A row whose readings do not fit is closed without them, unknown, so that its line is read again."""
        try:
            self._finish(results)
        except DATA_ERRORS as error:
            if len(results) > 1:
                for result in results:
                    self.finished([result])
                return
            (result,) = results
            logger.exception('row %s: what it came to cannot be stored', result.key)
            closed = replace(result, before=None, after=None)
            if result.outcome is not Outcome.SKIPPED:
                text = f'what was read cannot be stored ({_kind(error)}): see the log, and read the line again'
                closed = replace(closed, outcome=Outcome.UNKNOWN, message=text)
            try:
                self._finish([closed])
            except DATA_ERRORS:
                logger.exception('row %s stays open, to be read again', result.key)

    def health(self, point: str, health: Health) -> None:
        try:
            self._health(point, health)
        except DATA_ERRORS:
            logger.exception('point %s: its count of sessions cannot be stored', point)


def _kind(error: Exception) -> str:
    """The error's name only: its text holds the very data."""
    return type(error).__name__
