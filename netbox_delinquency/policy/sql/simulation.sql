-- A policy's contracts copied, and moved from moment to moment.

-- part: due_contracts
-- Nothing is paid, so a contract only moves when its next action is due, or when a hold begins.
AND (contract.next_action_at <= %(now)s OR contract.id IN (
    SELECT contract_id FROM netbox_delinquency_hold WHERE starts_at > %(since)s AND starts_at <= %(now)s))

-- statement: copy_contracts
CREATE TEMP TABLE simulated_contract ON COMMIT DROP AS
SELECT * FROM netbox_delinquency_contract WHERE status = 'active' AND policy_id = %(policy)s

-- statement: take_effect
-- What is done is taken to succeed.
UPDATE simulated_contract SET took_effect_at = coalesce(took_effect_at, stage_since)

-- statement: simulate_contracts
SELECT coalesce(old_action, ''), coalesce(new_action, ''), count(*)
  FROM moved WHERE old_action IS DISTINCT FROM new_action GROUP BY 1, 2

-- statement: next_due
SELECT least((SELECT min(next_action_at) FROM simulated_contract),
             (SELECT min(hold.starts_at) FROM netbox_delinquency_hold hold
                JOIN simulated_contract contract ON contract.id = hold.contract_id
               WHERE hold.starts_at > %(now)s))
