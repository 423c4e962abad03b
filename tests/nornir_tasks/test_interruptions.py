"""A job's time limit ends the work wherever it strikes: nobody takes it for a fault of a journal or of a processor."""

from unittest import mock

import pytest
from nornir.core.processor import Processor

from nornir_tasks import errors
from nornir_tasks.engine.journal import MemoryJournal, ReportingJournal
from nornir_tasks.engine.tasks import PointWork
from nornir_tasks.runners.waves import GuardedProcessors


class TimeLimitError(Exception):
    """As RQ raises it, from a signal."""


@pytest.fixture(autouse=True)
def limited(monkeypatch):
    monkeypatch.setattr(errors, 'INTERRUPTIONS', [TimeLimitError])


def journal_that(error):
    journal = mock.Mock(wraps=MemoryJournal())
    journal.claim.side_effect = error
    return journal


def test_asked_whether_to_go_on_a_journal_that_is_interrupted_is_no_broken_one():
    work = PointWork(mock.Mock(), 10, journal_that(TimeLimitError()), False, name='bras')
    with pytest.raises(TimeLimitError):
        work._must_stop()
    broken = PointWork(mock.Mock(), 10, journal_that(RuntimeError('gone')), False, name='bras')
    assert broken._must_stop()
    assert 'gone' in broken.stop_reason


def test_a_report_that_is_interrupted_ends_the_work_and_one_that_fails_does_not():
    ReportingJournal(MemoryJournal(), mock.Mock(side_effect=RuntimeError)).finished([mock.Mock()])
    with pytest.raises(TimeLimitError):
        ReportingJournal(MemoryJournal(), mock.Mock(side_effect=TimeLimitError)).finished([mock.Mock()])


def test_a_processor_that_is_interrupted_ends_the_work_and_one_that_fails_does_not():
    processor = mock.Mock(spec=Processor)
    task, host = mock.Mock(), mock.Mock()
    processor.task_instance_started.side_effect = RuntimeError
    GuardedProcessors([processor]).task_instance_started(task, host)
    processor.task_instance_started.side_effect = TimeLimitError
    with pytest.raises(TimeLimitError):
        GuardedProcessors([processor]).task_instance_started(task, host)
