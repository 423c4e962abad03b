"""The statements of the ledger: each over any number of words, events or contracts at once."""

from __future__ import annotations

from ..models.references import LOOSE_SQL, NORMAL_SQL

# Store an event once. What is kept of the source is written at most every few seconds: all its events would else wait
# for each other's transaction.
STORE = f"""
WITH heard AS (
    UPDATE netbox_delinquency_billingsource
       SET last_event_at = clock_timestamp(),
           payments_known_at = CASE WHEN %(is_payment)s THEN clock_timestamp()
                                    WHEN %(known_until)s::timestamptz IS NOT NULL
                                    THEN greatest(payments_known_at, least(%(known_until)s, clock_timestamp()))
                                    ELSE payments_known_at END
     WHERE id = %(source)s
       AND (last_event_at IS NULL OR last_event_at < clock_timestamp() - interval '10 s'
            OR %(is_payment)s AND (payments_known_at IS NULL
                                   OR payments_known_at < clock_timestamp() - interval '10 s')
            OR %(known_until)s > coalesce(payments_known_at, '-infinity'))
)
INSERT INTO netbox_delinquency_billingevent
       (created, last_updated, custom_field_data, source_id, event_id, event_type, body, status, message, meaning,
        is_urgent, reference, received_at, needs_attention)
VALUES (clock_timestamp(), clock_timestamp(), '{{}}', %(source)s, %(event_id)s, %(event_type)s, %(body)s, 'received',
        '', %(meaning)s, %(is_urgent)s, {LOOSE_SQL.format(value='%(contract)s')}, clock_timestamp(), false)
ON CONFLICT (source_id, event_id) DO NOTHING
RETURNING id
"""  # noqa: S608 - composed of our own constants

# The same ID with another body: kept beside the first, once, for a person to look at.
STORE_CONFLICT = f"""
INSERT INTO netbox_delinquency_billingevent
       (created, last_updated, custom_field_data, source_id, event_id, event_type, body, status, message, meaning,
        is_urgent, reference, received_at, processed_at, needs_attention)
VALUES (clock_timestamp(), clock_timestamp(), '{{}}', %(source)s, %(event_id)s, %(event_type)s, %(body)s, 'conflict',
        %(message)s, %(meaning)s, %(is_urgent)s, {LOOSE_SQL.format(value='%(contract)s')}, clock_timestamp(),
        clock_timestamp(), true)
ON CONFLICT (source_id, event_id) DO NOTHING
RETURNING id
"""  # noqa: S608

# Which contract each reference means: by its normal form; else as the one alias of that form.
RESOLVE = f"""
SELECT said.source, said.contract, form.reference, form.loose, coalesce(contract.id, alias.id),
       EXISTS (SELECT FROM netbox_delinquency_contract resembling
                WHERE resembling.source_id = said.source AND form.loose <> ''
                  AND resembling.loose_reference = form.loose)
  FROM unnest(%(sources)s::bigint[], %(contracts)s::text[]) AS said (source, contract)
 CROSS JOIN LATERAL (SELECT {NORMAL_SQL.format(value='said.contract')} AS reference,
                            {LOOSE_SQL.format(value='said.contract')} AS loose) form
  LEFT JOIN netbox_delinquency_contract contract
    ON contract.source_id = said.source AND contract.reference = form.reference
  LEFT JOIN LATERAL (
      SELECT min(other.id) AS id
        FROM netbox_delinquency_contract other
       WHERE contract.id IS NULL AND other.source_id = said.source AND other.aliases <> '{{}}'
         AND EXISTS (SELECT FROM unnest(other.aliases) name WHERE {NORMAL_SQL.format(value='name')} = form.reference)
      HAVING count(*) = 1
  ) alias ON true
"""  # noqa: S608

# The first time that a word is received is the one that counts, whichever copy of it is processed first.
WRITE_WORDS = """
INSERT INTO netbox_delinquency_billingword AS word
       (source_id, contract_id, reference, invoice, meaning, at, received_at, data, event, digest)
SELECT DISTINCT ON (source, reference, digest)
       source, contract, reference, invoice, meaning, at, received_at, data, event, digest
  FROM jsonb_to_recordset(%(words)s::jsonb) AS said (
       source bigint, contract bigint, reference text, invoice text, meaning text, at timestamptz,
       received_at timestamptz, data jsonb, event text, digest text)
 ORDER BY source, reference, digest, received_at
ON CONFLICT (source_id, reference, digest) DO UPDATE
   SET received_at = least(word.received_at, excluded.received_at),
       contract_id = coalesce(word.contract_id, excluded.contract_id)
"""

# Words that were said of contracts before these were here.
WAITING = f"""
SELECT word.id, contract.id AS contract_id
  FROM netbox_delinquency_billingword word
  JOIN netbox_delinquency_contract contract
    ON contract.source_id = word.source_id
   AND (contract.reference = word.reference
        OR contract.aliases <> '{{{{}}}}'
           AND EXISTS (SELECT FROM unnest(contract.aliases) name
                        WHERE {NORMAL_SQL.format(value='name')} = word.reference))
 WHERE word.contract_id IS NULL AND word.reference <> '' {{only}}
"""  # noqa: S608
ATTACH = f"""
WITH waiting AS ({WAITING}), attached AS (
    UPDATE netbox_delinquency_billingword word SET contract_id = waiting.contract_id
      FROM waiting WHERE word.id = waiting.id AND word.contract_id IS NULL
    RETURNING word.contract_id, word.source_id, word.event
), matched AS (
    UPDATE netbox_delinquency_billingevent event
       SET status = 'processed', message = '', needs_attention = false, contract_id = attached.contract_id,
           processed_at = %(now)s
      FROM attached
     WHERE event.source_id = attached.source_id AND event.event_id = attached.event AND event.status = 'unmatched'
)
SELECT DISTINCT contract_id FROM attached
"""  # noqa: S608
# Payments that could mean a contract which has just appeared, and do not name it.
RESEMBLING = """
UPDATE netbox_delinquency_billingevent event SET needs_attention = true
  FROM netbox_delinquency_contract contract
 WHERE contract.id = ANY(%(contracts)s) AND event.source_id = contract.source_id AND event.status = 'unmatched'
   AND event.is_urgent AND event.reviewed_at IS NULL AND NOT event.needs_attention
   AND contract.loose_reference <> '' AND event.reference = contract.loose_reference
"""

# As `ledger.contract_facts` sums them up; a test holds the two equal.
FACTS = """
UPDATE netbox_delinquency_contract contract
   SET oldest_due_date = facts.due, open_balance = facts.balance, unpaid_invoices = facts.count,
       awaiting_clearing = facts.count > 0 AND NOT facts.is_owed, notices_from = facts.notices_from,
       relief_ended_at = greatest(facts.relief_ended_at, relief.ended_at), facts_at = %(now)s
  FROM (
        SELECT asked.id, coalesce(bool_or(invoice.status = 'owed'), false) AS is_owed,
               min(due_date) FILTER (WHERE invoice.status = counted.status) AS due,
               sum(amount) FILTER (WHERE invoice.status = counted.status) AS balance,
               count(due_date) FILTER (WHERE invoice.status = counted.status) AS count,
               max(reopened_at) FILTER (WHERE invoice.status = 'owed') AS notices_from,
               max(relief_ended_at) FILTER (WHERE invoice.status = 'owed') AS relief_ended_at
          FROM unnest(%(contracts)s::bigint[]) AS asked (id)
         CROSS JOIN LATERAL (
             SELECT CASE WHEN EXISTS (SELECT FROM netbox_delinquency_invoice owed
                                       WHERE owed.contract_id = asked.id AND owed.status = 'owed')
                         THEN 'owed' ELSE 'clearing' END AS status
         ) counted
          LEFT JOIN netbox_delinquency_invoice invoice
            ON invoice.contract_id = asked.id AND invoice.due_date IS NOT NULL
         GROUP BY asked.id
       ) facts
  LEFT JOIN LATERAL (
      SELECT max(least(hold.ends_at, hold.ended_at)) AS ended_at
        FROM netbox_delinquency_hold hold
       WHERE hold.contract_id = facts.id AND hold.asserted_by <> '' AND hold.end_reason <> 'kept'
  ) relief ON true
 WHERE contract.id = facts.id
"""
# The same of contracts whose debt is known otherwise: billing has spoken of their agreements and disputes alone.
RELIEFS = """
UPDATE netbox_delinquency_contract contract
   SET relief_ended_at = (
        SELECT max(least(hold.ends_at, hold.ended_at))
          FROM netbox_delinquency_hold hold
         WHERE hold.contract_id = contract.id AND hold.asserted_by <> '' AND hold.end_reason <> 'kept'
       )
 WHERE contract.id = ANY(%(contracts)s)
"""
