"""The ledger: what billing said, and what it comes to. It has no pages; contracts show what it sums up to."""

from django.db import models
from django.db.models import Q
from utilities.querysets import RestrictedQuerySet

from ..billing.accounts import InvoiceStatus

__all__ = ('BillingWord', 'Invoice')


class BillingWord(models.Model):
    """One thing that billing said (see `billing.base.Word`): kept, and written once. It holds no personal data.

    `reference` is the contract's in normal form, empty for a word of the whole source. Words of a contract that is not
    here yet wait for it under that reference.
    """

    source = models.ForeignKey('BillingSource', on_delete=models.CASCADE, related_name='words')
    contract = models.ForeignKey('Contract', on_delete=models.SET_NULL, related_name='words', blank=True, null=True)
    reference = models.CharField(max_length=400, blank=True)
    invoice = models.CharField(max_length=100, blank=True)
    meaning = models.CharField(max_length=30)
    at = models.DateTimeField(blank=True, null=True, help_text='When it became so, as the sender says')
    received_at = models.DateTimeField(help_text='When it was received first')
    data = models.JSONField(default=dict, blank=True)
    event = models.CharField(max_length=250, blank=True, help_text="The event's own ID")
    digest = models.CharField(max_length=64)

    objects = RestrictedQuerySet.as_manager()

    class Meta:
        ordering = ('pk',)
        constraints = [
            models.UniqueConstraint(
                fields=('source', 'reference', 'digest'), name='netbox_delinquency_billingword_unique_content'
            ),
        ]
        indexes = [
            models.Index(fields=('contract',), name='nbd_word_contract'),
            models.Index(fields=('source', 'reference'), name='nbd_word_waiting', condition=Q(contract__isnull=True)),
        ]

    def __str__(self) -> str:
        return f'{self.meaning} {self.invoice}'.strip()


class Invoice(models.Model):
    """What one invoice counts as by its words; `billing.ledger` computes it, and the contract's facts sum it up."""

    contract = models.ForeignKey('Contract', on_delete=models.CASCADE, related_name='invoices')
    reference = models.CharField(max_length=100)
    status = models.CharField(max_length=30, choices=[(status.value, status.value) for status in InvoiceStatus])
    due_date = models.DateField(blank=True, null=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2, blank=True, null=True)
    changed_at = models.DateTimeField(help_text='When its last word became so')
    clears_until = models.DateTimeField(blank=True, null=True, help_text='When what is to clear has lapsed')
    reopened_at = models.DateTimeField(blank=True, null=True)
    relief_ended_at = models.DateTimeField(blank=True, null=True)

    objects = RestrictedQuerySet.as_manager()

    class Meta:
        ordering = ('due_date', 'reference')
        constraints = [
            models.UniqueConstraint(
                fields=('contract', 'reference'), name='netbox_delinquency_invoice_unique_reference'
            ),
            models.CheckConstraint(
                condition=~Q(status=InvoiceStatus.OWED.value) | Q(due_date__isnull=False),
                name='netbox_delinquency_invoice_owed_has_due_date',
            ),
            models.CheckConstraint(
                condition=~Q(status=InvoiceStatus.CLEARING.value) | Q(clears_until__isnull=False),
                name='netbox_delinquency_invoice_clearing_ends',
            ),
        ]
        indexes = [
            models.Index(
                fields=('clears_until',), name='nbd_invoice_clearing',
                condition=Q(status=InvoiceStatus.CLEARING.value),
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.reference
