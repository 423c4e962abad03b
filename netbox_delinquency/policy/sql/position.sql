-- Where each contract belongs: the rules of `dunning_position` in `policy/stages.py`, in the same order.

-- cte: first_unreached
-- The first stage that the contract has not reached, with what is known of the one before it.
SELECT facts.*, stage.id AS first_id, stage.rank, stage.prev_id, stage.clock AS clock_kind, stage.day,
       stage.prev_action_in_force, stage.needs_notice,
       stage.min_arrears IS NOT NULL AND facts.balance < stage.min_arrears
           OR stage.min_invoices IS NOT NULL AND facts.unpaid_invoices < stage.min_invoices AS too_little,
       stage.prev_action_in_force IS NOT NULL AND (
           facts.exempt OR facts.relief_until IS NOT NULL
           OR facts.in_relief AND (
               facts.frozen
               OR NOT coalesce(CASE WHEN stage.prev_is_suspension THEN facts.may_start
                                    WHEN stage.prev_is_contact THEN facts.may_contact ELSE true END, false)
               OR stage.prev_opens > facts.clock OR stage.prev_shuts <= facts.clock)
       ) IS TRUE AS stays_in_relief,
       stage.opens, stage.shuts, stage.closed, stage.prev_opens, stage.prev_shuts, stage.prev_closed
  FROM facts
  LEFT JOIN LATERAL (
      SELECT timed_stage.*, noticed.day
        FROM timed_stage
        CROSS JOIN LATERAL (
            SELECT CASE timed_stage.clock
                   WHEN 'due' THEN facts.oldest_due_date + timed_stage.after_days + facts.extra_days
                   WHEN 'notice' THEN CASE WHEN facts.notice_on IS NOT NULL
                        THEN greatest(facts.oldest_due_date + timed_stage.after_days + facts.extra_days,
                                      facts.notice_on + timed_stage.after_days) END
                   WHEN 'previous' THEN
                        CASE WHEN timed_stage.rank = facts.present_rank + 1 AND NOT facts.in_relief
                             THEN coalesce((facts.took_effect_at AT TIME ZONE facts.zone)::date, facts.today)
                             ELSE facts.today END + timed_stage.after_days
                   END AS day,
                   timed_stage.clock = 'previous' AND timed_stage.rank <= facts.present_rank AS has_run_out,
                   CASE WHEN timed_stage.needs_notice THEN facts.notice_on + timed_stage.min_notice_days
                        ELSE facts.oldest_due_date END AS noticed_on
        ) timing
        CROSS JOIN LATERAL (
            SELECT CASE WHEN timing.noticed_on IS NOT NULL AND timing.day IS NOT NULL
                        THEN greatest(timing.day, timing.noticed_on) END AS day
        ) noticed
       WHERE facts.owes AND timed_stage.policy_id = facts.policy_id
         AND NOT coalesce(
             timed_stage.id IS NOT NULL
             AND CASE WHEN timing.has_run_out THEN timing.noticed_on ELSE noticed.day END <= facts.today
             AND (timed_stage.min_arrears IS NULL OR facts.balance >= timed_stage.min_arrears)
             AND (timed_stage.min_invoices IS NULL OR facts.unpaid_invoices >= timed_stage.min_invoices)
             AND (timed_stage.rank <= facts.present_rank
                  OR NOT facts.frozen AND NOT facts.in_relief
                     AND coalesce(CASE WHEN timed_stage.is_suspension THEN facts.may_start
                                       WHEN timed_stage.is_contact THEN facts.may_contact ELSE true END, false)
                     AND (timed_stage.opens IS NULL OR timed_stage.opens <= facts.clock)
                     AND (timed_stage.shuts IS NULL OR timed_stage.shuts > facts.clock)), false)
       ORDER BY timed_stage.rank LIMIT 1
  ) stage ON true

-- cte: following
-- The stage that comes next, and the note that says why its moment is not known; `waits` is NULL where it is.
SELECT first_unreached.*,
       CASE WHEN stays_in_relief THEN prev_id ELSE first_id END AS next_id,
       CASE WHEN stays_in_relief THEN today ELSE day END AS next_day,
       CASE WHEN stays_in_relief THEN prev_opens ELSE opens END AS next_opens,
       CASE WHEN stays_in_relief THEN prev_shuts ELSE shuts END AS next_shuts,
       CASE WHEN stays_in_relief THEN prev_closed ELSE closed END AS next_closed,
       CASE WHEN first_id IS NULL AND NOT stays_in_relief THEN ''
            WHEN NOT stays_in_relief AND too_little THEN %(too_little)s
            WHEN NOT stays_in_relief AND (needs_notice OR clock_kind = 'notice') AND notice_on IS NULL
            THEN %(no_notice)s
            WHEN NOT stays_in_relief AND day IS NULL THEN ''
            WHEN exempt THEN %(is_exempt)s
            WHEN in_review THEN %(in_review)s
            WHEN late AND CASE WHEN stays_in_relief THEN today ELSE day END <= today THEN %(late)s
       END AS waits
  FROM first_unreached

-- cte: starting
-- The earliest moment by clock and holds, and the day from which an open one is looked for.
SELECT following.*, moment.at AS from_at, moment.here AS from_here,
       moment.here::date + (next_shuts IS NOT NULL AND moment.here::time >= next_shuts)::int AS probe
  FROM following
  LEFT JOIN LATERAL (
      SELECT moment.at, moment.at AT TIME ZONE zone AS here
        FROM (SELECT CASE WHEN (coalesce(held_until, %(now)s) AT TIME ZONE zone)::date < next_day
                          THEN next_day::timestamp AT TIME ZONE zone
                          ELSE coalesce(held_until, %(now)s) END AS at) moment
  ) moment ON waits IS NULL

-- cte: timed
-- `at`: the first open moment from then on, as `next_allowed` of `policy/calendar.py` finds it.
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

-- cte: dunning_position
SELECT id, seen, external_id, zone,
       prev_id AS stage_id,
       CASE WHEN owes THEN next_id END AS next_stage_id,
       CASE WHEN at IS NOT NULL THEN (at AT TIME ZONE zone)::date
            WHEN NOT stays_in_relief THEN next_day END AS next_action_on,
       at AS next_action_at,
       coalesce(stays_in_relief, false) AS in_relief,
       coalesce(waits, CASE WHEN NOT owes OR next_id IS NULL THEN ''
                            WHEN held_until IS NOT NULL THEN %(on_hold)s
                            WHEN at IS NULL THEN %(no_calendar)s ELSE '' END) AS note,
       CASE WHEN in_relief THEN NULL ELSE present_action END AS old_action,
       CASE WHEN stays_in_relief THEN NULL ELSE prev_action_in_force END AS new_action
  FROM timed

-- cte: moved
UPDATE {contract} contract
   SET stage_id = target.stage_id,
       stage_since = CASE WHEN target.stage_id IS NULL THEN NULL
                          WHEN target.stage_id IS DISTINCT FROM contract.stage_id THEN %(now)s
                          WHEN contract.in_relief AND NOT target.in_relief THEN %(now)s
                          ELSE contract.stage_since END,
       took_effect_at =
           CASE WHEN target.stage_id IS NULL THEN NULL
                WHEN target.stage_id IS DISTINCT FROM contract.stage_id
                     OR contract.in_relief AND NOT target.in_relief
                THEN CASE WHEN target.new_action IS NOT DISTINCT FROM target.old_action
                               AND (contract.stage_id IS NULL OR contract.took_effect_at IS NOT NULL)
                          THEN %(now)s ELSE %(effect)s END::timestamptz
                ELSE coalesce(contract.took_effect_at, %(effect)s::timestamptz) END,
       next_stage_id = target.next_stage_id,
       next_action_on = target.next_action_on,
       next_action_at = target.next_action_at,
       in_relief = target.in_relief,
       dunning_note = target.note
  FROM dunning_position target
 -- A payment, or a hold, that was written while this ran has put its contract where it belongs already.
 WHERE contract.id = target.id AND contract.xmin = target.seen
   AND (contract.stage_id, contract.next_stage_id, contract.next_action_on, contract.next_action_at,
        contract.in_relief, contract.dunning_note)
       IS DISTINCT FROM (target.stage_id, target.next_stage_id, target.next_action_on,
                         target.next_action_at, target.in_relief, target.note)
RETURNING contract.id, contract.external_id, contract.stage_id, target.old_action, target.new_action

-- cte: logged
-- NetBox's own change log: only what moved, and nothing of what is owed.
INSERT INTO core_objectchange (time, user_name, request_id, action, changed_object_id, object_repr, message,
                               prechange_data, postchange_data, changed_object_type_id)
SELECT %(now)s, 'delinquency', %(request)s, 'update', id, external_id, 'evaluated',
       jsonb_build_object('intended', coalesce(old_action, 'normal')),
       jsonb_build_object('intended', coalesce(new_action, 'normal'), 'stage', stage_id), %(contract_type)s
  FROM moved WHERE old_action IS DISTINCT FROM new_action

-- statement: move_contracts with logged
SELECT count(*) FROM moved

-- statement: lock_contracts
SELECT FROM netbox_delinquency_contract WHERE id = ANY(%(contracts)s) ORDER BY id FOR NO KEY UPDATE
