-- The stages of every policy with all that is computed from them alone.

-- cte: stage_action
-- The table of `policy/actions.py`.
SELECT action, mode, mode <> 'normal' AS is_restricting
  FROM unnest(%(actions)s::text[], %(action_modes)s::text[]) AS stage_action (action, mode)

-- cte: plain_stage
-- After the last stage of each policy comes one without an id that is never reached: so the first stage that is not
-- reached always exists, and the one before it is the one that the contract has reached.
SELECT stage.id, stage.policy_id, stage.clock, stage.after_days, stage.min_arrears, stage.min_invoices,
       stage.action, stage.position AS place, policy.min_notice_days,
       stage_action.is_restricting,
       stage_action.mode = 'blocked' OR stage_action.mode = 'throttled' AND policy.throttle_is_suspension
           AS is_suspension,
       NOT stage_action.is_restricting AS is_contact,
       stage.start_from, stage.start_until,
       policy.start_from AS policy_from, policy.start_until AS policy_until,
       policy.contact_from, policy.contact_until, policy.no_start_days, policy.no_contact_days
  FROM netbox_delinquency_policystage stage
  JOIN netbox_delinquency_delinquencypolicy policy ON policy.id = stage.policy_id
  JOIN stage_action ON stage_action.action = stage.action
UNION ALL
SELECT NULL, policy.id, 'end', NULL, NULL, NULL, '', 2147483647, NULL, false, false, false,
       NULL, NULL, NULL, NULL, NULL, NULL, '', ''
  FROM netbox_delinquency_delinquencypolicy policy

-- cte: stage_in_force
-- `force` is the place of the stage whose action is on the line: the last one so far that restricts.
SELECT plain_stage.*,
       max(CASE WHEN is_restricting THEN place END) OVER (PARTITION BY policy_id ORDER BY place) AS force
  FROM plain_stage

-- cte: ranked_stage materialized
SELECT stage_in_force.*,
       row_number() OVER by_place AS rank,
       lag(id) OVER by_place AS prev_id,
       lag(force) OVER by_place AS prev_force,
       is_suspension AND min_notice_days IS NOT NULL AS needs_notice
  FROM stage_in_force
WINDOW by_place AS (PARTITION BY policy_id ORDER BY place)

-- cte: stage_window
-- The hours and the closed days of a start or of a contact; a stage's own hours only narrow its policy's.
SELECT ranked_stage.*,
       greatest(start_from, CASE WHEN is_suspension THEN policy_from WHEN is_contact THEN contact_from END) AS opens,
       least(start_until, CASE WHEN is_suspension THEN policy_until WHEN is_contact THEN contact_until END) AS shuts,
       CASE WHEN is_suspension THEN no_start_days WHEN is_contact THEN no_contact_days ELSE '' END AS closed
  FROM ranked_stage

-- cte: timed_stage materialized
-- `action_in_force` is that of the stage itself, `prev_action_in_force` that of the one before it.
SELECT stage_window.*,
       lag(is_suspension) OVER by_rank AS prev_is_suspension,
       lag(is_contact) OVER by_rank AS prev_is_contact,
       lag(opens) OVER by_rank AS prev_opens,
       lag(shuts) OVER by_rank AS prev_shuts,
       lag(closed) OVER by_rank AS prev_closed,
       (SELECT stage.action FROM netbox_delinquency_policystage stage
         WHERE stage.policy_id = stage_window.policy_id AND stage.position = stage_window.prev_force)
           AS prev_action_in_force,
       (SELECT stage.action FROM netbox_delinquency_policystage stage
         WHERE stage.policy_id = stage_window.policy_id AND stage.position = stage_window.force) AS action_in_force
  FROM stage_window
WINDOW by_rank AS (PARTITION BY policy_id ORDER BY rank)
