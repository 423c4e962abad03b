"""The ladder for all contracts at once: two statements, whatever their number, writing only what changed."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from ..models import AccessLine, Contract
from ..models.billing import UNREAD
from . import ladder
from .days import ensure_start_days

TABLES = {
    'contract': 'netbox_delinquency_contract',
    'policy': 'netbox_delinquency_delinquencypolicy',
    'stage': 'netbox_delinquency_policystage',
    # As `BillingSource.is_late` says it.
    'late': '(heartbeat_minutes IS NOT NULL AND (last_event_at IS NULL'
    ' OR %(now)s - last_event_at > make_interval(mins => heartbeat_minutes))'
    " OR EXISTS (SELECT FROM netbox_delinquency_billingevent event WHERE event.status = 'received'"
    ' AND event.source_id = source.id AND event.received_at < %(now)s - %(unread)s))',
}

LOCK = 'ORDER BY id FOR NO KEY UPDATE'

# Every rung with its rank, the one before it, and what is in force on it. After the last comes one without an id that
# is never reached: the first rung that is not reached always exists, and its forerunner is where the contract stands.
RUNG = """
rung AS MATERIALIZED (
    SELECT stage.*, row_number() OVER ladder AS rank, lag(stage.id) OVER ladder AS prev_id,
           stage.is_suspension AND stage.min_notice_days IS NOT NULL AS needs_notice,
           lag(stage.force) OVER ladder AS prev_force
      FROM (
        SELECT stage.*,
               max(CASE WHEN stage.restricts THEN stage.place END)
                   OVER (PARTITION BY stage.policy_id ORDER BY stage.place) AS force
          FROM (
            SELECT stage.id, stage.policy_id, stage.clock, stage.after_days, stage.min_arrears, stage.min_invoices,
                   stage.action, stage.position AS place, policy.min_notice_days,
                   stage.action IN ('throttle', 'block', 'propose_termination') AS restricts,
                   stage.action IN ('block', 'propose_termination')
                       OR stage.action = 'throttle' AND policy.throttle_is_suspension AS is_suspension,
                   stage.action NOT IN ('throttle', 'block', 'propose_termination') AS is_contact,
                   stage.start_from, stage.start_until,
                   policy.start_from AS policy_from, policy.start_until AS policy_until,
                   policy.contact_from, policy.contact_until, policy.no_start_days, policy.no_contact_days
              FROM {stage} stage JOIN {policy} policy ON policy.id = stage.policy_id
            UNION ALL
            SELECT NULL, policy.id, 'end', NULL, NULL, NULL, '', 2147483647, NULL, false, false, false,
                   NULL, NULL, NULL, NULL, NULL, NULL, '', ''
              FROM {policy} policy
          ) stage
      ) stage
    WINDOW ladder AS (PARTITION BY stage.policy_id ORDER BY stage.place)
), timed_rung AS MATERIALIZED (
    SELECT rung.*, lag(rung.action) OVER ladder AS prev_action,
           lag(rung.is_suspension) OVER ladder AS prev_is_suspension,
           lag(rung.is_contact) OVER ladder AS prev_is_contact,
           lag(rung.opens) OVER ladder AS prev_opens, lag(rung.shuts) OVER ladder AS prev_shuts,
           lag(rung.closed) OVER ladder AS prev_closed,
           (SELECT stage.action FROM {stage} stage
             WHERE stage.policy_id = rung.policy_id AND stage.position = rung.prev_force) AS prev_state,
           (SELECT stage.action FROM {stage} stage
             WHERE stage.policy_id = rung.policy_id AND stage.position = rung.force) AS state
      FROM (
        SELECT rung.*,
               greatest(rung.start_from, CASE WHEN rung.is_suspension THEN rung.policy_from
                                              WHEN rung.is_contact THEN rung.contact_from END) AS opens,
               least(rung.start_until, CASE WHEN rung.is_suspension THEN rung.policy_until
                                            WHEN rung.is_contact THEN rung.contact_until END) AS shuts,
               CASE WHEN rung.is_suspension THEN rung.no_start_days
                    WHEN rung.is_contact THEN rung.no_contact_days ELSE '' END AS closed
          FROM rung
      ) rung
    WINDOW ladder AS (PARTITION BY rung.policy_id ORDER BY rung.rank)
)
"""

# The rules are those of `ladder.stand`, in the same order.
CONTRACTS = (
    'WITH '
    + RUNG
    + """, grace AS (
    SELECT contract_id, max(extra_days) AS extra_days, bool_or(exempt) AS exempt
      FROM (
        SELECT contract.id AS contract_id, rule.extra_days, rule.exempt
          FROM netbox_delinquency_gracerule rule
          JOIN {contract} contract ON contract.policy_id = rule.policy_id AND contract.tier = rule.tier
         WHERE rule.tier <> ''
        UNION ALL
        SELECT contract.id, rule.extra_days, rule.exempt
          FROM netbox_delinquency_gracerule rule
          JOIN extras_taggeditem tagged
            ON tagged.tag_id = rule.for_tag_id AND tagged.content_type_id = %(contract_type)s
          JOIN {contract} contract ON contract.policy_id = rule.policy_id AND contract.id = tagged.object_id
      ) rule
     GROUP BY contract_id
), hold AS (
    SELECT contract_id,
           max(least(ends_at, ended_at)) FILTER (WHERE kind = ANY(%(relieving)s)) AS relief_until,
           max(least(ends_at, ended_at)) FILTER (WHERE kind <> ALL(%(relieving)s)) AS freeze_until
      FROM netbox_delinquency_hold contract_hold
     WHERE starts_at <= %(now)s AND ends_at > %(now)s AND (ended_at IS NULL OR ended_at > %(now)s)
     GROUP BY contract_id
), source AS (
    SELECT id, NOT enabled OR {late} AS late
      FROM netbox_delinquency_billingsource source
), placed AS (
    SELECT contract.id, contract.xmin AS seen, contract.policy_id, contract.oldest_due_date, contract.unpaid_invoices,
           coalesce(contract.open_balance, 0) AS balance, contract.stage_id, contract.took_effect_at, contract.relieved,
           contract.external_id, contract.awaiting_clearing, contract.notices_from,
           contract.review_requested_at IS NOT NULL AS in_review, source.late,
           policy.no_start_days, policy.no_contact_days, policy.min_arrears, policy.min_invoices,
           coalesce(contract.calendar_id, policy.calendar_id) AS calendar_id,
           coalesce(nullif(contract.time_zone, ''), place.time_zone, %(zone)s) AS zone,
           %(now)s AT TIME ZONE coalesce(nullif(contract.time_zone, ''), place.time_zone, %(zone)s) AS here
      FROM {contract} contract
      JOIN source ON source.id = contract.source_id
      LEFT JOIN {policy} policy ON policy.id = contract.policy_id
      LEFT JOIN netbox_delinquency_calendar place
        ON place.id = coalesce(contract.calendar_id, policy.calendar_id)
     WHERE contract.status = 'active' {only_contracts}
), facts AS (
    SELECT placed.*, placed.here::date AS today, placed.here::time AS clock,
           placed.oldest_due_date IS NOT NULL AND NOT placed.awaiting_clearing
               AND (placed.min_arrears IS NULL OR placed.balance >= placed.min_arrears)
               AND (placed.min_invoices IS NULL OR placed.unpaid_invoices >= placed.min_invoices) AS owes,
           (notice.delivered_at AT TIME ZONE placed.zone)::date AS notice_on,
           coalesce(grace.extra_days, 0) AS extra_days, coalesce(grace.exempt, false) AS exempt,
           hold.relief_until, hold.freeze_until, greatest(hold.relief_until, hold.freeze_until) AS held_until,
           placed.late OR placed.in_review OR coalesce(grace.exempt, false) OR hold.contract_id IS NOT NULL AS frozen,
           placed.no_start_days = '' OR start_day.next_day = start_day.day AS may_start,
           placed.no_contact_days = '' OR contact_day.next_day = contact_day.day AS may_contact,
           coalesce(present.rank, 0) AS present_rank, present.state AS present_state
      FROM placed
      LEFT JOIN grace ON grace.contract_id = placed.id
      LEFT JOIN hold ON hold.contract_id = placed.id
      LEFT JOIN timed_rung present ON present.id = placed.stage_id AND present.policy_id = placed.policy_id
      LEFT JOIN netbox_delinquency_startday start_day
        ON start_day.calendar_id = placed.calendar_id AND start_day.closed = placed.no_start_days
       AND start_day.day = placed.here::date
      LEFT JOIN netbox_delinquency_startday contact_day
        ON contact_day.calendar_id = placed.calendar_id AND contact_day.closed = placed.no_contact_days
       AND contact_day.day = placed.here::date
      LEFT JOIN LATERAL (
          SELECT min(notice.delivered_at) AS delivered_at
            FROM netbox_delinquency_notice notice
           WHERE placed.oldest_due_date IS NOT NULL AND notice.contract_id = placed.id
             AND notice.kind = 'suspension' AND notice.delivered_at <= %(now)s
             AND notice.delivered_at >= placed.oldest_due_date::timestamp AT TIME ZONE placed.zone
             AND (placed.notices_from IS NULL OR notice.delivered_at >= placed.notices_from)
      ) notice ON true
), first_rung AS (
    SELECT facts.*, rung.id AS first_id, rung.rank, rung.prev_id, rung.action, rung.clock AS clock_kind, rung.day,
           rung.prev_state, rung.needs_notice,
           rung.min_arrears IS NOT NULL AND facts.balance < rung.min_arrears
               OR rung.min_invoices IS NOT NULL AND facts.unpaid_invoices < rung.min_invoices AS too_little,
           rung.prev_state IS NOT NULL AND (
               facts.exempt OR facts.relief_until IS NOT NULL
               OR facts.relieved AND (
                   facts.frozen
                   OR NOT coalesce(CASE WHEN rung.prev_is_suspension THEN facts.may_start
                                        WHEN rung.prev_is_contact THEN facts.may_contact ELSE true END, false)
                   OR rung.prev_opens > facts.clock OR rung.prev_shuts <= facts.clock)
           ) IS TRUE AS stays_relieved,
           rung.opens, rung.shuts, rung.closed, rung.prev_opens, rung.prev_shuts, rung.prev_closed
      FROM facts
      LEFT JOIN LATERAL (
          SELECT rung.*, noticed.day
            FROM timed_rung rung
            CROSS JOIN LATERAL (
                SELECT CASE rung.clock
                       WHEN 'due' THEN facts.oldest_due_date + rung.after_days + facts.extra_days
                       WHEN 'notice' THEN CASE WHEN facts.notice_on IS NOT NULL
                            THEN greatest(facts.oldest_due_date + rung.after_days + facts.extra_days,
                                          facts.notice_on + rung.after_days) END
                       WHEN 'previous' THEN
                            CASE WHEN rung.rank = facts.present_rank + 1 AND NOT facts.relieved
                                 THEN coalesce((facts.took_effect_at AT TIME ZONE facts.zone)::date, facts.today)
                                 ELSE facts.today END + rung.after_days
                       END AS day,
                       rung.clock = 'previous' AND rung.rank <= facts.present_rank AS has_run_out,
                       CASE WHEN rung.needs_notice THEN facts.notice_on + rung.min_notice_days
                            ELSE facts.oldest_due_date END AS noticed_on
            ) timing
            CROSS JOIN LATERAL (
                SELECT CASE WHEN timing.noticed_on IS NOT NULL AND timing.day IS NOT NULL
                            THEN greatest(timing.day, timing.noticed_on) END AS day
            ) noticed
           WHERE facts.owes AND rung.policy_id = facts.policy_id
             AND NOT coalesce(
                 rung.id IS NOT NULL
                 AND CASE WHEN timing.has_run_out THEN timing.noticed_on ELSE noticed.day END <= facts.today
                 AND (rung.min_arrears IS NULL OR facts.balance >= rung.min_arrears)
                 AND (rung.min_invoices IS NULL OR facts.unpaid_invoices >= rung.min_invoices)
                 AND (rung.rank <= facts.present_rank
                      OR NOT facts.frozen AND NOT facts.relieved
                         AND coalesce(CASE WHEN rung.is_suspension THEN facts.may_start
                                           WHEN rung.is_contact THEN facts.may_contact ELSE true END, false)
                         AND (rung.opens IS NULL OR rung.opens <= facts.clock)
                         AND (rung.shuts IS NULL OR rung.shuts > facts.clock)), false)
           ORDER BY rung.rank LIMIT 1
      ) rung ON true
), following AS (
    SELECT first_rung.*,
           CASE WHEN stays_relieved THEN prev_id ELSE first_id END AS next_id,
           CASE WHEN stays_relieved THEN today ELSE day END AS next_day,
           CASE WHEN stays_relieved THEN prev_opens ELSE opens END AS next_opens,
           CASE WHEN stays_relieved THEN prev_shuts ELSE shuts END AS next_shuts,
           CASE WHEN stays_relieved THEN prev_closed ELSE closed END AS next_closed,
           CASE WHEN first_id IS NULL AND NOT stays_relieved THEN ''
                WHEN NOT stays_relieved AND too_little THEN %(too_little)s
                WHEN NOT stays_relieved AND (needs_notice OR clock_kind = 'notice') AND notice_on IS NULL
                THEN %(no_notice)s
                WHEN NOT stays_relieved AND day IS NULL THEN ''
                WHEN exempt THEN %(is_exempt)s
                WHEN in_review THEN %(in_review)s
                WHEN late AND CASE WHEN stays_relieved THEN today ELSE day END <= today THEN %(late)s
           END AS waits
      FROM first_rung
), starting AS (
    SELECT following.*, moment.at AS from_at, moment.here AS from_here,
           moment.here::date + (next_shuts IS NOT NULL AND moment.here::time >= next_shuts)::int AS probe
      FROM following
      LEFT JOIN LATERAL (
          SELECT moment.at, moment.at AT TIME ZONE zone AS here
            FROM (SELECT CASE WHEN (coalesce(held_until, %(now)s) AT TIME ZONE zone)::date < next_day
                              THEN next_day::timestamp AT TIME ZONE zone
                              ELSE coalesce(held_until, %(now)s) END AS at) moment
      ) moment ON waits IS NULL
), timed AS (
    SELECT starting.*,
           CASE WHEN open_on.day = from_here::date AND (next_opens IS NULL OR from_here::time >= next_opens)
                THEN from_at
                ELSE (open_on.day + coalesce(next_opens, time '00:00')) AT TIME ZONE zone END AS at
      FROM starting
      LEFT JOIN netbox_delinquency_startday start_day
        ON start_day.calendar_id = starting.calendar_id AND start_day.closed = starting.next_closed
       AND start_day.day = starting.probe AND starting.next_closed <> ''
      CROSS JOIN LATERAL (
          SELECT CASE WHEN next_closed = '' THEN probe ELSE start_day.next_day END AS day
      ) open_on
), standing AS (
    SELECT id, seen, external_id, zone,
           prev_id AS stage_id,
           CASE WHEN owes THEN next_id END AS next_stage_id,
           CASE WHEN at IS NOT NULL THEN (at AT TIME ZONE zone)::date
                WHEN NOT stays_relieved THEN next_day END AS next_action_on,
           at AS next_action_at,
           coalesce(stays_relieved, false) AS relieved,
           coalesce(waits, CASE WHEN NOT owes OR next_id IS NULL THEN ''
                                WHEN held_until IS NOT NULL THEN %(on_hold)s
                                WHEN at IS NULL THEN %(no_calendar)s ELSE '' END) AS note,
           CASE WHEN relieved THEN NULL ELSE present_state END AS old_state,
           CASE WHEN stays_relieved THEN NULL ELSE prev_state END AS new_state
      FROM timed
), moved AS (
    UPDATE {contract} contract
       SET stage_id = standing.stage_id,
           stage_since = CASE WHEN standing.stage_id IS NULL THEN NULL
                              WHEN standing.stage_id IS DISTINCT FROM contract.stage_id THEN %(now)s
                              WHEN contract.relieved AND NOT standing.relieved THEN %(now)s
                              ELSE contract.stage_since END,
           took_effect_at =
               CASE WHEN standing.stage_id IS NULL THEN NULL
                    WHEN standing.stage_id IS DISTINCT FROM contract.stage_id
                         OR contract.relieved AND NOT standing.relieved
                    THEN CASE WHEN standing.new_state IS NOT DISTINCT FROM standing.old_state
                                   AND (contract.stage_id IS NULL OR contract.took_effect_at IS NOT NULL)
                              THEN %(now)s ELSE %(effect)s END::timestamptz
                    ELSE coalesce(contract.took_effect_at, %(effect)s::timestamptz) END,
           next_stage_id = standing.next_stage_id,
           next_action_on = standing.next_action_on,
           next_action_at = standing.next_action_at,
           relieved = standing.relieved,
           standing_note = standing.note
      FROM standing
     -- A payment, or a hold, that was written while this ran has put its contract where it belongs already.
     WHERE contract.id = standing.id AND contract.xmin = standing.seen
       AND (contract.stage_id, contract.next_stage_id, contract.next_action_on, contract.next_action_at,
            contract.relieved, contract.standing_note)
           IS DISTINCT FROM (standing.stage_id, standing.next_stage_id, standing.next_action_on,
                             standing.next_action_at, standing.relieved, standing.note)
    RETURNING contract.id, contract.external_id, contract.stage_id, standing.old_state, standing.new_state
)
"""
)

COUNT = 'SELECT count(*) FROM moved'

FROZEN = """)
SELECT id, CASE WHEN late THEN %(late)s WHEN in_review THEN %(in_review)s WHEN exempt THEN %(is_exempt)s
                ELSE %(on_hold)s END
  FROM facts WHERE frozen
"""

# NetBox's own change log; only what moved is told, and nothing of what is owed.
LOG = """, logged AS (
    INSERT INTO core_objectchange (time, user_name, request_id, action, changed_object_id, object_repr, message,
                                   prechange_data, postchange_data, changed_object_type_id)
    SELECT %(now)s, 'delinquency', %(request)s, 'update', id, external_id, 'evaluated',
           jsonb_build_object('intended', coalesce(old_state, 'normal')),
           jsonb_build_object('intended', coalesce(new_state, 'normal'), 'stage', stage_id), %(contract_type)s
      FROM moved WHERE old_state IS DISTINCT FROM new_state
)
"""

CHANNEL = """CASE WHEN wanted IN ('bras', 'cpe') THEN wanted
            WHEN wanted = 'both' AND line.bras_id IS NOT NULL AND line.acs_id IS NOT NULL THEN 'both'
            WHEN wanted = 'cpe_else_bras' AND line.acs_id IS NOT NULL OR line.bras_id IS NULL THEN 'cpe'
            ELSE 'bras' END"""

# The rules are those of `intended.py`. A line that was reverted by hand stays so until something else is wanted of it.
LINES = (
    'WITH '
    + RUNG
    + """, intended AS (
      SELECT contract.id,
             CASE force.action WHEN 'throttle' THEN 'throttled' WHEN 'block' THEN 'blocked'
                               WHEN 'propose_termination' THEN 'blocked' ELSE 'normal' END AS mode,
             CASE WHEN force.action = 'throttle' THEN CASE force.throttle_to
                  WHEN 'percent' THEN greatest(1, plan.down_kbps::bigint * force.throttle_percent / 100)::int
                  WHEN 'rate' THEN least(plan.down_kbps, force.throttle_down_kbps)
                  ELSE plan.throttled_down_kbps END END AS down,
             CASE WHEN force.action = 'throttle' THEN CASE force.throttle_to
                  WHEN 'percent' THEN greatest(1, plan.up_kbps::bigint * force.throttle_percent / 100)::int
                  WHEN 'rate' THEN least(plan.up_kbps, force.throttle_up_kbps)
                  ELSE plan.throttled_up_kbps END END AS up,
             coalesce(force.channel, 'any') AS wanted
        FROM netbox_delinquency_contract contract
        JOIN netbox_delinquency_serviceplan plan ON plan.id = contract.plan_id
        LEFT JOIN rung ON rung.id = contract.stage_id AND NOT contract.relieved
        LEFT JOIN netbox_delinquency_policystage force
          ON force.policy_id = rung.policy_id AND force.position = rung.force
       WHERE contract.status = 'active' {only_contracts}
), wanting AS (
      SELECT line.id, line.xmin AS seen, intended.mode, intended.down, intended.up, {channel} AS channel
        FROM intended JOIN netbox_delinquency_accessline line ON line.contract_id = intended.id
       WHERE (line.intended_mode, line.intended_down_kbps, line.intended_up_kbps, line.channel)
             IS DISTINCT FROM (intended.mode, intended.down, intended.up, {channel})
)
UPDATE netbox_delinquency_accessline line
   SET intended_mode = wanting.mode, intended_down_kbps = wanting.down, intended_up_kbps = wanting.up,
       channel = wanting.channel,
       pinned = line.pinned AND (line.intended_mode, line.intended_down_kbps, line.intended_up_kbps)
                                IS NOT DISTINCT FROM (wanting.mode, wanting.down, wanting.up)
  FROM wanting
 WHERE line.id = wanting.id AND line.xmin = wanting.seen
"""
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How many rows were written: contracts whose standing changed, lines whose intended state did."""

    contracts: int
    lines: int


def parameters(now: datetime, contracts: Collection[int] | None = None, effect: datetime | None = None) -> dict:
    """What the statements are given. `effect`: when a stage that is taken now takes effect; None where that shows."""
    return {
        'now': now,
        'effect': effect,
        'zone': timezone.get_default_timezone_name(),
        'contracts': list(contracts or ()),
        'relieving': list(ladder.RELIEVING),
        'contract_type': ContentType.objects.get_for_model(Contract).pk,
        'request': uuid.uuid4(),
        'unread': UNREAD,
        'late': ladder.FEED_IS_LATE,
        'on_hold': ladder.ON_HOLD,
        'in_review': ladder.IN_REVIEW,
        'is_exempt': ladder.IS_EXEMPT,
        'no_notice': ladder.NO_NOTICE,
        'too_little': ladder.TOO_LITTLE,
        'no_calendar': ladder.NO_CALENDAR,
    }


def frozen(now: datetime, contracts: Collection[int]) -> dict[int, str]:
    """Why nothing may get harder for these contracts at `now`, by primary key; those that nothing spares are missing.

    Asked once more before something is sent: a stage that was reached is kept while a hold stands, but what it wants
    may not have been done yet. Writes nothing.
    """
    with connection.cursor() as cursor:
        statement = CONTRACTS[: CONTRACTS.index('), first_rung AS (')] + FROZEN
        only = 'AND contract.id = ANY(%(contracts)s)'
        cursor.execute(statement.format(only_contracts=only, **TABLES), parameters(now, contracts))
        return dict(cursor.fetchall())


def plan_for_all(cursor, yes: bool = True) -> None:
    """Settings of this transaction for a statement over all contracts, or back to those for few.

    The planner takes the rungs and holds for far fewer than they are, and would loop where it must hash; compiling
    the statement costs more than it gains.
    """
    wanted = {'work_mem': '256MB', 'enable_nestloop': 'off', 'enable_mergejoin': 'off', 'jit': 'off'}
    for name, value in wanted.items():
        cursor.execute(f'SET LOCAL {name} = {value!r}' if yes else f'SET LOCAL {name} TO DEFAULT')


def evaluate(now: datetime, contracts: Collection[int] | None = None) -> Evaluation:
    """Put every active contract (or those with the given primary keys) where it belongs at `now`."""
    only = '' if contracts is None else 'AND contract.id = ANY(%(contracts)s)'
    given = parameters(now, contracts)
    ensure_start_days(timezone.localdate(now))
    with transaction.atomic(), connection.cursor() as cursor:
        if contracts is None:
            plan_for_all(cursor)
        else:
            # Nobody else writes them now: whatever changed until here is seen by the statements below.
            pks = {'pks': list(contracts)}
            cursor.execute(f'SELECT FROM {TABLES["contract"]} WHERE id = ANY(%(pks)s) {LOCK}', pks)
            cursor.execute(f'SELECT FROM netbox_delinquency_accessline WHERE contract_id = ANY(%(pks)s) {LOCK}', pks)
        cursor.execute((CONTRACTS + LOG + COUNT).format(only_contracts=only, **TABLES), given)
        moved = cursor.fetchone()[0]
        cursor.execute(LINES.format(only_contracts=only, channel=CHANNEL, **TABLES), given)
        lines = cursor.rowcount
        _take_effect(now, contracts)
        return Evaluation(moved, lines)


def _take_effect(now: datetime, contracts: Collection[int] | None) -> None:
    """A stage has taken effect once no line of its contract is otherwise: nobody is blocked because a throttle that
    was never approved, or never reached its router, is said to have lasted long enough."""
    waiting = Contract.objects.filter(stage__isnull=False, took_effect_at=None, relieved=False)
    if contracts is not None:
        waiting = waiting.filter(pk__in=contracts)
    drifting = AccessLine.objects.drifting().filter(contract=OuterRef('pk')).order_by()
    waiting.filter(~Exists(drifting)).update(took_effect_at=now)
