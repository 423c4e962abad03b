"""The ladder for all contracts at once: two statements, whatever their number, writing only what changed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from .ladder import FEED_IS_LATE

# The rules are those of `ladder.stand`, in the same order.
CONTRACTS = """
WITH facts AS (
    SELECT contract.id, contract.policy_id, contract.oldest_due_date,
           contract.oldest_due_date IS NOT NULL AND NOT contract.awaiting_clearing AS owes,
           %(today)s - contract.oldest_due_date AS days,
           contract.stage_id AS present_id, coalesce(present.after_days, 0) AS present_days,
           source.heartbeat_minutes IS NOT NULL AND (
               source.last_event_at IS NULL
               OR %(now)s - source.last_event_at > make_interval(mins => source.heartbeat_minutes)
           ) AS late
      FROM netbox_delinquency_contract contract
      JOIN netbox_delinquency_billingsource source ON source.id = contract.source_id
      LEFT JOIN netbox_delinquency_policystage present ON present.id = contract.stage_id
     WHERE contract.status = 'active' {only_contracts}
), ladder AS (
    SELECT facts.*, due.id AS due_id, due.after_days AS due_days, later.id AS later_id, later.after_days AS later_days,
           facts.late AND coalesce(due.after_days, 0) > facts.present_days AS held
      FROM facts
      LEFT JOIN LATERAL (
          SELECT id, after_days FROM netbox_delinquency_policystage
           WHERE policy_id = facts.policy_id AND facts.owes AND after_days <= facts.days
           ORDER BY after_days DESC LIMIT 1
      ) due ON true
      LEFT JOIN LATERAL (
          SELECT id, after_days FROM netbox_delinquency_policystage
           WHERE policy_id = facts.policy_id AND facts.owes AND after_days > facts.days
           ORDER BY after_days LIMIT 1
      ) later ON true
), standing AS (
    SELECT id,
           CASE WHEN held THEN present_id ELSE due_id END AS stage_id,
           CASE WHEN held THEN due_id ELSE later_id END AS next_stage_id,
           oldest_due_date + (CASE WHEN held THEN due_days ELSE later_days END)::int AS next_action_on,
           CASE WHEN held THEN %(note)s ELSE '' END AS note
      FROM ladder
)
UPDATE netbox_delinquency_contract contract
   SET stage_id = standing.stage_id,
       stage_since = CASE WHEN standing.stage_id IS NULL THEN NULL
                          WHEN standing.stage_id IS DISTINCT FROM contract.stage_id THEN %(now)s
                          ELSE contract.stage_since END,
       next_stage_id = standing.next_stage_id,
       next_action_on = standing.next_action_on,
       standing_note = standing.note
  FROM standing
 WHERE contract.id = standing.id
   AND (contract.stage_id, contract.next_stage_id, contract.next_action_on, contract.standing_note)
       IS DISTINCT FROM (standing.stage_id, standing.next_stage_id, standing.next_action_on, standing.note)
"""

# The rule is that of `ladder.intended_state`.
LINES = """
UPDATE netbox_delinquency_accessline line
   SET intended_mode = intended.mode, intended_down_kbps = intended.down, intended_up_kbps = intended.up
  FROM (
      SELECT contract.id,
             CASE stage.action WHEN 'throttle' THEN 'throttled' WHEN 'block' THEN 'blocked' ELSE 'normal' END AS mode,
             CASE stage.action WHEN 'throttle' THEN plan.throttled_down_kbps END AS down,
             CASE stage.action WHEN 'throttle' THEN plan.throttled_up_kbps END AS up
        FROM netbox_delinquency_contract contract
        JOIN netbox_delinquency_serviceplan plan ON plan.id = contract.plan_id
        LEFT JOIN netbox_delinquency_policystage stage ON stage.id = contract.stage_id
       WHERE contract.status = 'active' {only_contracts}
  ) intended
 WHERE line.contract_id = intended.id
   AND (line.intended_mode, line.intended_down_kbps, line.intended_up_kbps)
       IS DISTINCT FROM (intended.mode, intended.down, intended.up)
"""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How many rows were written: contracts whose standing changed, lines whose intended state did."""

    contracts: int
    lines: int


def evaluate(now: datetime, contracts: Collection[int] | None = None) -> Evaluation:
    """Put every active contract (or those with the given primary keys) where it belongs at `now`."""
    only = '' if contracts is None else 'AND contract.id = ANY(%(contracts)s)'
    parameters = {
        'now': now,
        'today': timezone.localdate(now),
        'note': FEED_IS_LATE,
        'contracts': list(contracts or ()),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        counts = []
        for statement in (CONTRACTS, LINES):
            cursor.execute(statement.format(only_contracts=only), parameters)
            counts.append(cursor.rowcount)
    return Evaluation(*counts)
