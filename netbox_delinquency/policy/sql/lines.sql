-- What each line should have, and where it is enforced: the rules of `policy/intended.py`.

-- cte: intended
SELECT contract.id,
       coalesce(stage_action.mode, 'normal') AS mode,
       CASE WHEN stage_action.mode = 'throttled' THEN CASE force.throttle_to
            WHEN 'percent' THEN greatest(1, plan.down_kbps::bigint * force.throttle_percent / 100)::int
            WHEN 'rate' THEN least(plan.down_kbps, force.throttle_down_kbps)
            ELSE plan.throttled_down_kbps END END AS down,
       CASE WHEN stage_action.mode = 'throttled' THEN CASE force.throttle_to
            WHEN 'percent' THEN greatest(1, plan.up_kbps::bigint * force.throttle_percent / 100)::int
            WHEN 'rate' THEN least(plan.up_kbps, force.throttle_up_kbps)
            ELSE plan.throttled_up_kbps END END AS up,
       coalesce(force.channel, 'any') AS wanted
  FROM netbox_delinquency_contract contract
  JOIN netbox_delinquency_serviceplan plan ON plan.id = contract.plan_id
  LEFT JOIN ranked_stage ON ranked_stage.id = contract.stage_id AND NOT contract.in_relief
  LEFT JOIN netbox_delinquency_policystage force
    ON force.policy_id = ranked_stage.policy_id AND force.position = ranked_stage.force
  LEFT JOIN stage_action ON stage_action.action = force.action
 WHERE contract.status = 'active' {contracts}

-- cte: wanting
-- The lines that are to be otherwise than is written.
SELECT line.id, line.xmin AS seen, intended.mode, intended.down, intended.up, enforced.channel
  FROM intended
  JOIN netbox_delinquency_accessline line ON line.contract_id = intended.id
  CROSS JOIN LATERAL (
      SELECT CASE WHEN wanted IN ('bras', 'cpe') THEN wanted
                  WHEN wanted = 'both' AND line.bras_id IS NOT NULL AND line.acs_id IS NOT NULL THEN 'both'
                  WHEN wanted = 'cpe_else_bras' AND line.acs_id IS NOT NULL OR line.bras_id IS NULL THEN 'cpe'
                  ELSE 'bras' END AS channel
  ) enforced
 WHERE (line.intended_mode, line.intended_down_kbps, line.intended_up_kbps, line.channel)
       IS DISTINCT FROM (intended.mode, intended.down, intended.up, enforced.channel)

-- statement: move_lines
-- A line that was reverted by hand stays so until something else is wanted of it.
UPDATE netbox_delinquency_accessline line
   SET intended_mode = wanting.mode, intended_down_kbps = wanting.down, intended_up_kbps = wanting.up,
       channel = wanting.channel,
       pinned = line.pinned AND (line.intended_mode, line.intended_down_kbps, line.intended_up_kbps)
                                IS NOT DISTINCT FROM (wanting.mode, wanting.down, wanting.up)
  FROM wanting
 WHERE line.id = wanting.id AND line.xmin = wanting.seen

-- statement: lock_lines
SELECT FROM netbox_delinquency_accessline WHERE contract_id = ANY(%(contracts)s) ORDER BY id FOR NO KEY UPDATE
