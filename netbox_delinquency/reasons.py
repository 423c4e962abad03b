"""Why something is not done: a sentence that has a code and parameters.

Refusals, stops, skipped rows and the breaker's verdicts are told by these. Programs read and filter by the code, which
does not change; people read the sentence, in their language. What is stored is code and parameters, beside the sentence
in English, for logs and for programs that only show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, override

from nornir_tasks.change import AccessState, Mode

from .choices import PointStatusChoices, RunStatusChoices

__all__ = (
    'TEXTS',
    'Reason',
    'ReasonCode',
    'message_columns',
    'restored',
    'stop_columns',
    'stored',
    'translated',
)


class ReasonCode(StrEnum):
    # Why a row is not sent by the facts as they are.
    RETIRED = 'retired'
    MOVED = 'moved'
    POINT_NOT_ACTIVE = 'point_not_active'
    POINT_UNVERIFIED = 'point_unverified'
    POLICY_WANTS_OTHER = 'policy_wants_other'
    REVERT_EXCEEDS_POLICY = 'revert_exceeds_policy'
    PAID = 'paid'
    NOTHING_OWED = 'nothing_owed'
    PINNED = 'pinned'
    SOURCE_DISABLED = 'source_disabled'
    SOURCE_SILENT = 'source_silent'
    CONTRACT_FROZEN = 'contract_frozen'
    RESTORE_WOULD_RESTRICT = 'restore_would_restrict'
    REVERT_WOULD_RESTRICT = 'revert_would_restrict'
    CLOSED_HOURS = 'closed_hours'
    UNCHECKED = 'unchecked'
    RENAMED = 'renamed'
    FOREIGN = 'foreign'
    LIFTED_ALREADY = 'lifted_already'
    PLACE_TAKEN = 'place_taken'
    NO_RIGHT = 'no_right'
    MODE_OBSERVE = 'mode_observe'
    MODE_ASSIST = 'mode_assist'
    CANCELLED = 'cancelled'
    # Why a run is stopped, or waits.
    PAUSED = 'paused'
    KILL_SWITCH = 'kill_switch'
    DEADLINE = 'deadline'
    CAP_PER_HOUR = 'cap_per_hour'
    POINT_CAP_PER_HOUR = 'point_cap_per_hour'
    LINES_BUSY = 'lines_busy'
    RELEASED = 'released'
    TAKEN_OVER = 'taken_over'
    RUN_NOT_RUNNING = 'run_not_running'
    # The breaker's verdicts.
    FIRST_WAVE_WRONG = 'first_wave_wrong'
    TOO_MANY_WRONG = 'too_many_wrong'
    TOO_MANY_REFUSED = 'too_many_refused'
    TOO_MANY_UNTRIED = 'too_many_untried'
    SESSIONS_LOST = 'sessions_lost'
    POINT_SLOW = 'point_slow'
    # Why a run is refused what was asked.
    NOT_PLANNED = 'not_planned'
    NOT_APPROVED = 'not_approved'
    NOT_RUNNING = 'not_running'
    NOT_PAUSED = 'not_paused'
    ENDED = 'ended'
    NOT_BEGUN = 'not_begun'
    NEVER_BEGAN = 'never_began'
    NOT_REVERTIBLE = 'not_revertible'
    NOTHING_TO_REVERT = 'nothing_to_revert'
    ROWS_CHANGED = 'rows_changed'
    ROWS_NOT_REVIEWED = 'rows_not_reviewed'
    NO_ROWS = 'no_rows'
    NO_SUCH_ROWS = 'no_such_rows'
    ROWS_NOT_OPEN = 'rows_not_open'
    RESTORE_RESTRICTS = 'restore_restricts'
    FOUR_EYES = 'four_eyes'
    CAPS_EXCEEDED = 'caps_exceeded'
    RUN_TOO_LARGE = 'run_too_large'
    SHARE_TOO_LARGE = 'share_too_large'
    TAKEN_SHARE_TOO_LARGE = 'taken_share_too_large'
    BY_PERSON = 'by_person'
    WORKERS_BUSY = 'workers_busy'
    RUNBOOK_BUSY = 'runbook_busy'
    POINT_NOT_READ = 'point_not_read'
    NO_REACHABLE_CPE = 'no_reachable_cpe'
    # Why a row is left out of a revert.
    LINE_NOT_YOURS = 'line_not_yours'
    NOT_READ_BEFORE = 'not_read_before'
    PARTIALLY_APPLIED_BEFORE = 'partially_applied_before'
    LINE_NOT_ACTIVE = 'line_not_active'
    LINE_MOVED = 'line_moved'
    REVERT_TAKES_ACCESS = 'revert_takes_access'


# The one table: what each code says to people. The parameters are those that the sentence names.
TEXTS: dict[ReasonCode, str] = {
    ReasonCode.RETIRED: gettext_noop('retired: the line or its contract is no longer active'),
    ReasonCode.MOVED: gettext_noop('moved: the line is now at {point}'),
    ReasonCode.POINT_NOT_ACTIVE: gettext_noop('{point} is in {point_status}'),
    ReasonCode.POINT_UNVERIFIED: gettext_noop(
        'the connection of {point} was changed since it was checked: have it checked again'
    ),
    ReasonCode.POLICY_WANTS_OTHER: gettext_noop('policy now wants this line {intended}'),
    ReasonCode.REVERT_EXCEEDS_POLICY: gettext_noop(
        'policy now wants this line {intended}, and a revert never takes more than policy does'
    ),
    ReasonCode.PAID: gettext_noop('paid: policy now wants this line normal'),
    ReasonCode.NOTHING_OWED: gettext_noop('paid: nothing is owed'),
    ReasonCode.PINNED: gettext_noop('pinned: it was reverted by hand, and policy has not changed its mind since'),
    ReasonCode.SOURCE_DISABLED: gettext_noop('frozen: billing source {source} is disabled'),
    ReasonCode.SOURCE_SILENT: gettext_noop('frozen: nothing was heard from billing source {source} for too long'),
    ReasonCode.CONTRACT_FROZEN: gettext_noop('frozen: {why}'),
    ReasonCode.RESTORE_WOULD_RESTRICT: gettext_noop(
        'the line was found {found}: this would take access away, and is planned anew as that'
    ),
    ReasonCode.REVERT_WOULD_RESTRICT: gettext_noop(
        'the line was found {found}: this would take access away, and a revert takes none'
    ),
    ReasonCode.UNCHECKED: gettext_noop('unchecked: {why}'),
    ReasonCode.CLOSED_HOURS: gettext_noop('closed: by the policy nothing may start at this hour; plan it again'),
    ReasonCode.RENAMED: gettext_noop('renamed: the line is now {identity}, and {approved} was approved'),
    ReasonCode.FOREIGN: gettext_noop(
        'foreign: the line was found {found}, and not by us; adopt it, or have it lifted by whoever did that'
    ),
    ReasonCode.LIFTED_ALREADY: gettext_noop('it is {how} already'),
    ReasonCode.PLACE_TAKEN: gettext_noop('line {line} has this place by now, and policy wants it {intended}'),
    ReasonCode.NO_RIGHT: gettext_noop('nobody has a right to this place any more: a person may lift it'),
    ReasonCode.MODE_OBSERVE: gettext_noop('observe: {who} is only observed, and nothing is taken'),
    ReasonCode.MODE_ASSIST: gettext_noop('assist: at {who} a person approves and starts all that restricts'),
    ReasonCode.CANCELLED: gettext_noop('cancelled'),
    ReasonCode.PAUSED: gettext_noop('paused: {why}'),
    ReasonCode.KILL_SWITCH: gettext_noop('enforcement is stopped: {why}'),
    ReasonCode.DEADLINE: gettext_noop('it has taken longer than its deadline of {minutes} minutes'),
    ReasonCode.CAP_PER_HOUR: gettext_noop('the cap of {cap} rows an hour is reached: it goes on as the hour moves on'),
    ReasonCode.POINT_CAP_PER_HOUR: gettext_noop(
        'the cap of {point} of {cap} rows an hour is reached: it goes on as the hour moves on'
    ),
    ReasonCode.LINES_BUSY: gettext_noop('another run is changing lines of {point}: they wait until it lets go'),
    ReasonCode.RELEASED: gettext_noop('{executor} left it: {why}'),
    ReasonCode.TAKEN_OVER: gettext_noop('run "{run}" is being worked on by {executor}'),
    ReasonCode.RUN_NOT_RUNNING: gettext_noop('the run is {status}'),
    ReasonCode.FIRST_WAVE_WRONG: gettext_noop('the whole first wave went wrong: {part} of {whole} {unit}'),
    ReasonCode.TOO_MANY_WRONG: gettext_noop(
        'too many {unit} went wrong: {part} of {whole}, {percent} %; at most {limit} %'
    ),
    ReasonCode.TOO_MANY_REFUSED: gettext_noop(
        'too many {unit} were refused by their points: {part} of {whole}, {percent} %; at most {limit} %'
    ),
    ReasonCode.TOO_MANY_UNTRIED: gettext_noop(
        'too many {unit} could not be tried: {part} of {whole}, {percent} %; at most {limit} %'
    ),
    ReasonCode.SESSIONS_LOST: gettext_noop(
        '{point} lost sessions that the run did not end: {part} of {whole}, {percent} %; at most {limit} %'
    ),
    ReasonCode.POINT_SLOW: gettext_noop(
        '{point} has become slow: it answers in {now} s, in {before} s before the run; at most {limit} s'
    ),
    ReasonCode.NOT_PLANNED: gettext_noop('run "{run}" is {status}, only a planned one can be approved'),
    ReasonCode.NOT_APPROVED: gettext_noop('run "{run}" is {status}: only an approved one can be started'),
    ReasonCode.NOT_RUNNING: gettext_noop('run "{run}" is {status}: only a running one can be paused'),
    ReasonCode.NOT_PAUSED: gettext_noop('run "{run}" is {status}: only a paused one can be resumed'),
    ReasonCode.ENDED: gettext_noop('run "{run}" is {status}: it can no longer be cancelled'),
    ReasonCode.NOT_BEGUN: gettext_noop('run "{run}" is {status}: begin it first'),
    ReasonCode.NEVER_BEGAN: gettext_noop('run "{run}" was {status} before it began'),
    ReasonCode.NOT_REVERTIBLE: gettext_noop(
        'run "{run}" is {status}: only what was sent can be reverted; a running run is paused first'
    ),
    ReasonCode.NOTHING_TO_REVERT: gettext_noop('run "{run}" sent nothing that could be reverted'),
    ReasonCode.ROWS_CHANGED: gettext_noop(
        'the rows of run "{run}" are not those that were approved: cancel it and plan anew'
    ),
    ReasonCode.ROWS_NOT_REVIEWED: gettext_noop(
        'the rows of run "{run}" are not those of the plan you saw (now {hash}): review them again'
    ),
    ReasonCode.NO_ROWS: gettext_noop('run "{run}" has no rows'),
    ReasonCode.NO_SUCH_ROWS: gettext_noop('run "{run}" has no rows {rows}'),
    ReasonCode.ROWS_NOT_OPEN: gettext_noop('run "{run}" has no open rows {rows}'),
    ReasonCode.RESTORE_RESTRICTS: gettext_noop(
        'run "{run}" gives access back, and {rows} of its rows take it: plan those apart'
    ),
    ReasonCode.FOUR_EYES: gettext_noop('run "{run}" was planned by {approver}: by four eyes somebody else approves it'),
    ReasonCode.CAPS_EXCEEDED: gettext_noop('run "{run}" cannot be approved: {reasons}'),
    ReasonCode.RUN_TOO_LARGE: gettext_noop(
        'it has {rows} rows, and a run may have {cap}: plan fewer lines, or raise the cap'
    ),
    ReasonCode.SHARE_TOO_LARGE: gettext_noop(
        'it changes {share} % of the {lines} lines of {point}, and may change {cap} %'
    ),
    ReasonCode.TAKEN_SHARE_TOO_LARGE: gettext_noop(
        'with the {taken} that are restricted there, or planned to be, it comes to {share} % of the {lines} lines of '
        '{point}, and may come to {cap} %'
    ),
    ReasonCode.BY_PERSON: gettext_noop('run "{run}" is not approved by its policy: {why}'),
    ReasonCode.WORKERS_BUSY: gettext_noop('a worker is still at {points}: try again in a moment'),
    ReasonCode.RUNBOOK_BUSY: gettext_noop('{executor} still has rows in hand: try again in a moment'),
    ReasonCode.POINT_NOT_READ: gettext_noop('{point} is in {point_status}: its lines are not read'),
    ReasonCode.NO_REACHABLE_CPE: gettext_noop(
        'None of these lines has a CPE that an ACS reaches: an active line, with an ACS and a CWMP ID.'
    ),
    ReasonCode.LINE_NOT_YOURS: gettext_noop('its line is not yours to change'),
    ReasonCode.NOT_READ_BEFORE: gettext_noop('it was not read before it was sent'),
    ReasonCode.PARTIALLY_APPLIED_BEFORE: gettext_noop(
        'it was partially applied before: what was stored was not in force'
    ),
    ReasonCode.LINE_NOT_ACTIVE: gettext_noop('the line is no longer active'),
    ReasonCode.LINE_MOVED: gettext_noop('the line is now at {point}'),
    ReasonCode.REVERT_TAKES_ACCESS: gettext_noop(
        'it was {before}, and policy now wants {intended}: a revert takes no access away'
    ),
}

# What NetBox's workers are called where a runbook would have its name.
WORKERS = gettext_noop("NetBox's workers")


class Reason(str):
    """A sentence in English, the same to every log, journal and program, that knows its code and its parameters.

    A text, so that it passes through whatever carries texts (a runbook's journal, an answer, a log) as what it says.
    `translated` is the sentence in the reader's language. A parameter is a text, a number, a state, a reason, or a list
    of reasons; anything else is kept as its text.
    """

    __slots__ = ('code', 'params')

    code: ReasonCode
    params: Mapping[str, Any]

    @classmethod
    def of(cls, code: ReasonCode, **params: Any) -> Reason:
        return cls._made(code, {name: _kept(value) for name, value in params.items()})

    @classmethod
    def _made(cls, code: ReasonCode, params: Mapping[str, Any]) -> Reason:
        with override('en'):
            reason = cls(_sentence(code, params))
        reason.code, reason.params = code, params
        return reason

    @property
    def translated(self) -> str:
        """The sentence in the language that is active."""
        return _sentence(self.code, self.params)

    def as_params(self) -> dict[str, Any]:
        """The parameters, fit for JSON."""
        return {name: _plain(value) for name, value in self.params.items()}

    @classmethod
    def from_params(cls, code: str, params: Mapping[str, Any]) -> Reason:
        """The inverse of `code` and `as_params`. Raises `ValueError`, `KeyError`."""
        return cls._made(ReasonCode(code), {name: _restored(value) for name, value in params.items()})


def stored(text: str) -> tuple[str, dict[str, Any] | None]:
    """Code and parameters as they are kept beside a text; empty where that has none."""
    return (str(text.code), text.as_params()) if isinstance(text, Reason) else ('', None)


def stop_columns(reason: str) -> dict[str, Any]:
    """What is written on a run that is stopped for a reason; or is no longer, where that is empty."""
    code, params = stored(reason)
    return {'stop_reason': str(reason)[:500], 'stop_code': code, 'stop_params': params}


def message_columns(message: str) -> dict[str, Any]:
    """What is written on a row of what came of it."""
    code, params = stored(message)
    return {'message': str(message), 'message_code': code, 'message_params': params}


def restored(text: str, code: str, params: Mapping[str, Any] | None) -> str:
    """What was stored, as a reason; the plain `text` where it has no code, or one of another version."""
    try:
        return Reason.from_params(code, params or {}) if code else text
    except (KeyError, ValueError):
        return text


def translated(text: str) -> str:
    """A text in the language that is active, where it is a reason."""
    return text.translated if isinstance(text, Reason) else text


def _sentence(code: ReasonCode, params: Mapping[str, Any]) -> str:
    return _(TEXTS[code]).format(**{name: _shown(name, value) for name, value in params.items()})


def _kept(value: Any) -> Any:
    if isinstance(value, AccessState | Reason | bool | int | float):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_kept(each) for each in value]
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, AccessState):
        return {'state': value.as_dict()}
    if isinstance(value, Reason):
        return {'code': str(value.code), 'params': value.as_params()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def _restored_mapping(value: Mapping[str, Any]) -> AccessState | Reason:
    return AccessState.from_dict(value['state']) if 'state' in value else Reason.from_params(**value)


def _restored(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _restored_mapping(value)
    if isinstance(value, list):
        return [_restored(each) for each in value]
    return value


STATES = {
    Mode.NORMAL: gettext_noop('normal'),
    Mode.THROTTLED: gettext_noop('throttled'),
    Mode.BLOCKED: gettext_noop('blocked'),
}
LABELS: dict[str, Any] = {'status': RunStatusChoices, 'point_status': PointStatusChoices}


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, AccessState):
        state = _(STATES[value.mode])
        rates = value.mode is Mode.THROTTLED
        return f'{state} {value.down_kbps}/{value.up_kbps} kbit/s' if rates else state
    if isinstance(value, Reason):
        return value.translated
    if isinstance(value, list):
        return '; '.join(str(_shown(name, each)) for each in value)
    if name in LABELS:
        labels = {choice[0]: choice[1] for choice in LABELS[name]}
        return str(labels.get(value, value)).lower()
    if name == 'executor' and not value:
        return _(WORKERS)
    return value
