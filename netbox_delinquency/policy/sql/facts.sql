-- What policy may look at, a row a contract: `ContractFacts` of `policy/stages.py`.

-- part: every_contract

-- part: chosen_contracts
AND contract.id = ANY(%(contracts)s)

-- part: feed_is_late
-- As `BillingSource.is_late` says it.
(source.heartbeat_minutes IS NOT NULL
    AND (source.payments_known_at IS NULL
         OR %(now)s - source.payments_known_at > make_interval(mins => source.heartbeat_minutes))
 OR EXISTS (SELECT FROM netbox_delinquency_billingevent event
             WHERE event.status = 'received' AND event.source_id = source.id
               AND event.received_at < %(now)s - %(unread)s)
 OR EXISTS (SELECT FROM netbox_delinquency_billingevent event
             WHERE event.needs_attention AND event.source_id = source.id AND event.reference = ''))

-- part: feed_is_in_time
false

-- cte: feed
SELECT source.id, NOT source.enabled OR {late} AS late
  FROM netbox_delinquency_billingsource source

-- cte: grace
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

-- cte: active_hold
SELECT contract_id,
       max(least(ends_at, ended_at)) FILTER (WHERE kind = ANY(%(relieving)s)) AS relief_until,
       max(least(ends_at, ended_at)) FILTER (WHERE kind <> ALL(%(relieving)s)) AS freeze_until
  FROM netbox_delinquency_hold hold
 WHERE starts_at <= %(now)s AND ends_at > %(now)s AND (ended_at IS NULL OR ended_at > %(now)s)
 GROUP BY contract_id

-- cte: attention
-- Contracts that a word about money may concern which nobody could read or match, until a person has looked.
SELECT event.source_id, event.reference
  FROM netbox_delinquency_billingevent event
 WHERE event.needs_attention AND event.reference <> ''
 GROUP BY event.source_id, event.reference

-- cte: placed
-- Each contract with its policy, its calendar and the clock on its wall.
SELECT contract.id, contract.xmin AS seen, contract.policy_id, contract.oldest_due_date, contract.unpaid_invoices,
       coalesce(contract.open_balance, 0) AS balance, contract.stage_id, contract.took_effect_at,
       contract.in_relief, contract.external_id, contract.awaiting_clearing,
       greatest(contract.notices_from,
                CASE WHEN NOT policy.notice_outlasts_relief THEN contract.relief_ended_at END) AS notices_from,
       contract.review_requested_at IS NOT NULL AS in_review, feed.late OR attention.source_id IS NOT NULL AS late,
       policy.no_start_days, policy.no_contact_days, policy.min_arrears, policy.min_invoices,
       coalesce(contract.calendar_id, policy.calendar_id) AS calendar_id,
       coalesce(nullif(contract.time_zone, ''), place.time_zone, %(zone)s) AS zone,
       %(now)s AT TIME ZONE coalesce(nullif(contract.time_zone, ''), place.time_zone, %(zone)s) AS here
  FROM {contract} contract
  JOIN feed ON feed.id = contract.source_id
  LEFT JOIN attention
    ON attention.source_id = contract.source_id AND attention.reference = contract.loose_reference
  LEFT JOIN netbox_delinquency_delinquencypolicy policy ON policy.id = contract.policy_id
  LEFT JOIN netbox_delinquency_calendar place ON place.id = coalesce(contract.calendar_id, policy.calendar_id)
 WHERE contract.status = 'active' {contracts}

-- cte: facts
SELECT placed.*, placed.here::date AS today, placed.here::time AS clock,
       placed.oldest_due_date IS NOT NULL AND NOT placed.awaiting_clearing
           AND (placed.min_arrears IS NULL OR placed.balance >= placed.min_arrears)
           AND (placed.min_invoices IS NULL OR placed.unpaid_invoices >= placed.min_invoices) AS owes,
       (notice.delivered_at AT TIME ZONE placed.zone)::date AS notice_on,
       coalesce(grace.extra_days, 0) AS extra_days, coalesce(grace.exempt, false) AS exempt,
       active_hold.relief_until, active_hold.freeze_until,
       greatest(active_hold.relief_until, active_hold.freeze_until) AS held_until,
       placed.late OR placed.in_review OR coalesce(grace.exempt, false) OR active_hold.contract_id IS NOT NULL
           AS frozen,
       placed.no_start_days = '' OR start_day.next_day = start_day.day AS may_start,
       placed.no_contact_days = '' OR contact_day.next_day = contact_day.day AS may_contact,
       coalesce(present.rank, 0) AS present_rank, present.action_in_force AS present_action
  FROM placed
  LEFT JOIN grace ON grace.contract_id = placed.id
  LEFT JOIN active_hold ON active_hold.contract_id = placed.id
  LEFT JOIN timed_stage present ON present.id = placed.stage_id AND present.policy_id = placed.policy_id
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

-- statement: frozen_contracts
SELECT id, CASE WHEN late THEN %(late)s WHEN in_review THEN %(in_review)s WHEN exempt THEN %(is_exempt)s
                ELSE %(on_hold)s END
  FROM facts WHERE frozen
