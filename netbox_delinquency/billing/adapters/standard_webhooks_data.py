"""The `data` of each event of the Standard Webhooks dialect, and how strictly each of its fields is read."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import pydantic

# The last place on earth where a day ends.
LAST_ZONE = timezone(timedelta(hours=-12))
EARLIEST, LATEST = date(2000, 1, 1), date(2100, 1, 1)
# PostgreSQL refuses NUL in text, and no billing system has control characters in its identifiers.
IDENTIFIER = re.compile(r'[^\x00-\x1f\x7f]{1,100}')


def _identifier(value: Any) -> str:
    """Numbers are taken as they are written: many systems count their contracts."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError('text of 1 to 100 characters is wanted')  # noqa: TRY004 - pydantic reports ValueErrors
    value = value.strip()
    if not IDENTIFIER.fullmatch(value) or not value.isprintable():
        raise ValueError('1 to 100 printable characters are wanted')
    return value


def _optional_identifier(value: Any) -> str:
    """What a payment can do without is left out where it cannot be read."""
    try:
        return _identifier(value)
    except ValueError:
        return ''


def _day(value: Any) -> date:
    """ISO 8601's extended form alone: `20260901`, or a number, would be taken for seconds since 1970."""
    if not isinstance(value, str) or not re.fullmatch(r'\d{4}-\d{2}-\d{2}', value, re.ASCII):
        raise ValueError('a day as in "2026-09-01" is wanted')
    day = date.fromisoformat(value)
    if not EARLIEST <= day <= LATEST:
        raise ValueError(f'a day from {EARLIEST} to {LATEST} is wanted')
    return day


def _amount(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError('a sum as in "99.90" is wanted')  # noqa: TRY004
    text = str(value)
    if not re.fullmatch(r'\d{1,10}(\.\d{1,2})?', text, re.ASCII):
        raise ValueError('a sum as in "99.90" is wanted: digits, a point, no more than two decimals, no sign')
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError('a sum as in "99.90" is wanted') from error


def _moment(value: Any) -> datetime:
    if not isinstance(value, str) or not re.match(r'\d{4}-\d{2}-\d{2}[T ]', value, re.ASCII):
        raise ValueError('a moment as in "2026-09-01T12:00:00-03:00" is wanted')
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError('a moment with its offset is wanted, as in "2026-09-01T12:00:00-03:00"')
    if not EARLIEST.year <= moment.year < LATEST.year:
        raise ValueError(f'a moment from {EARLIEST} to {LATEST} is wanted')
    return moment


def _day_or_moment(value: Any) -> date | datetime:
    is_day = isinstance(value, str) and re.fullmatch(r'\d{4}-\d{2}-\d{2}', value, re.ASCII)
    return _day(value) if is_day else _moment(value)


Identifier = Annotated[str, pydantic.BeforeValidator(_identifier)]
OptionalIdentifier = Annotated[str, pydantic.BeforeValidator(_optional_identifier)]
Day = Annotated[date, pydantic.BeforeValidator(_day)]
Amount = Annotated[Decimal, pydantic.BeforeValidator(_amount)]
Instant = Annotated[datetime, pydantic.BeforeValidator(_moment)]
DayOrInstant = Annotated[datetime | date, pydantic.PlainValidator(_day_or_moment)]
Kind = Literal['reminder', 'suspension', 'termination']
Channel = Literal['letter', 'email', 'sms', 'app', 'portal', 'invoice', 'other']


class Part(pydantic.BaseModel):
    """What is wrong is said by the name of its field, never by its value."""

    model_config = pydantic.ConfigDict(hide_input_in_errors=True)


class Moment(Part):
    timestamp: DayOrInstant


class Contract(Part):
    contract: Identifier


class Invoice(Contract):
    invoice: Identifier


class Payment(Invoice):
    payment: OptionalIdentifier = ''


class Settled(Invoice):
    """Contract and invoice suffice."""


class Issued(Invoice):
    due_date: Day
    amount: Amount | None = None
    replaces: list[Identifier] = pydantic.Field(default_factory=list, max_length=100)


class DueChanged(Invoice):
    due_date: Day | None = None
    amount: Amount | None = None

    @pydantic.model_validator(mode='after')
    def _says_something(self) -> DueChanged:
        if self.due_date is None and self.amount is None:
            raise ValueError('due_date or amount: one of them has changed')
        return self


class Overdue(Invoice):
    due_date: Day
    amount: Amount | None = None
    replaces: list[Identifier] = pydantic.Field(default_factory=list, max_length=100)


class PartiallyPaid(Invoice):
    amount: Amount | None = None  # what is still open
    sum: Amount | None = None  # what was paid
    payment: OptionalIdentifier = ''

    @pydantic.model_validator(mode='after')
    def _is_counted_once(self) -> PartiallyPaid:
        if self.amount is None and (self.sum is None or not self.payment):
            raise ValueError('amount (what is still open), or sum (what was paid) and payment (its reference)')
        return self


class Credited(Invoice):
    """A credit note for all of the invoice; or for a sum, by its own reference, or with what is still open."""

    amount: Amount | None = None
    sum: Amount | None = None
    payment: OptionalIdentifier = ''

    @pydantic.model_validator(mode='after')
    def _is_counted_once(self) -> Credited:
        if self.sum is not None and self.amount is None and not self.payment:
            raise ValueError('payment: the reference of the credit note, so that its sum counts once')
        return self


class Replaced(Invoice):
    replaced_by: list[Identifier] = pydantic.Field(min_length=1, max_length=100)

    @pydantic.field_validator('replaced_by', mode='before')
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return value if isinstance(value, list) else [value]


class Reinstated(Invoice):
    due_date: Day | None = None
    amount: Amount | None = None


class Reversed(Invoice):
    payment: OptionalIdentifier = ''
    amount: Amount | None = None  # what is open after it


class Agreement(Contract):
    agreement: Identifier
    until: DayOrInstant | None = None


class AgreementMade(Agreement):
    until: DayOrInstant
    invoices: list[Identifier] = pydantic.Field(default_factory=list, max_length=1000)
    instalments: int | None = pydantic.Field(default=None, ge=1, le=999)


class DisputeOpened(Contract):
    dispute: Identifier
    invoice: OptionalIdentifier = ''
    sum: Amount | None = None
    until: DayOrInstant | None = None

    @pydantic.model_validator(mode='after')
    def _sum_is_of_an_invoice(self) -> DisputeOpened:
        if self.sum is not None and not self.invoice:
            raise ValueError('invoice: a disputed sum is one of an invoice')
        return self


class DisputeClosed(Contract):
    dispute: Identifier
    invoice: OptionalIdentifier = ''
    closed_for: Literal['subscriber', 'provider']
    sum: Amount | None = None


class Notice(Contract):
    notice: Identifier
    kind: Kind = 'suspension'
    channel: Channel = 'other'


def _not_in_future(moment: datetime) -> datetime:
    if moment > datetime.now(tz=UTC) + timedelta(minutes=5):
        raise ValueError('a notice is proof of what was, and this lies in the future')
    return moment


Past = Annotated[Instant, pydantic.AfterValidator(_not_in_future)]


class NoticeSent(Notice):
    sent_at: Past


class NoticeDelivered(Notice):
    delivered_at: Past
    sent_at: Past | None = None

    @pydantic.model_validator(mode='after')
    def _is_sent_first(self) -> NoticeDelivered:
        if self.sent_at and self.sent_at > self.delivered_at:
            raise ValueError('sent_at: a notice is not delivered before it is sent')
        return self


class OpenInvoice(Part):
    invoice: Identifier
    due_date: Day
    amount: Amount | None = None


class OpenInvoices(Contract):
    invoices: list[OpenInvoice] = pydantic.Field(max_length=1000)


class ContractStatement(OpenInvoices):
    complete: pydantic.StrictBool


class SourceStatement(Part):
    contracts: list[OpenInvoices]
    complete: pydantic.StrictBool


class Heartbeat(Part):
    payments_known_until: Instant
