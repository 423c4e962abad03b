"""Evaluations that meet another session's writing in PostgreSQL: what was paid meanwhile stands."""

import subprocess
import sys

import psycopg
import pytest

from dev.stack import wait_until

NAME = 'bras-1-user3'
CONTRACT = f"id = (SELECT contract_id FROM netbox_delinquency_accessline WHERE username = '{NAME}')"
EVALUATE = (
    'import django; django.setup(); from django.utils import timezone;'
    ' from netbox_delinquency.policy.evaluate import evaluate; evaluate(timezone.now(), {contracts})'
)


class World:
    def __init__(self, stack):
        self.stack = stack
        self.pk = stack.sql(f'SELECT id FROM netbox_delinquency_contract WHERE {CONTRACT}')

    def owe(self, days):
        due = f'current_date - {days}' if days else 'NULL'
        self.stack.sql(f'UPDATE netbox_delinquency_contract SET oldest_due_date = {due} WHERE {CONTRACT}')

    def start(self, contracts=None):
        command = [sys.executable, '-c', EVALUATE.format(contracts=contracts)]
        return subprocess.Popen(command, env=self.stack.env, stderr=subprocess.PIPE, text=True)

    def evaluate(self, contracts=None):
        self.finish(self.start(contracts))

    def finish(self, process):
        error = process.communicate(timeout=120)[1]
        assert process.returncode == 0, error

    def evaluate_while(self, *statements, contracts=None):
        """Evaluate while another session has these written and not committed; it commits once the evaluation waits."""
        url = f'{self.stack.env["DATABASE_URL"]}/{self.stack.env["DELINQUENCY_DEV_DATABASE"]}'
        with psycopg.connect(url) as session:
            for statement in statements:
                assert session.execute(statement).rowcount == 1
            process = self.start(contracts)
            waits = (
                f'SELECT count(*) FROM pg_stat_activity WHERE {session.info.backend_pid} = ANY(pg_blocking_pids(pid))'
            )
            wait_until('the evaluation waits', lambda: self.stack.sql(waits) != '0', 240)
            session.commit()
        self.finish(process)

    def stands(self):
        """The stage's action, and what is intended of the line."""
        row = self.stack.sql(
            "SELECT coalesce(stage.action, ''), line.intended_mode FROM netbox_delinquency_contract contract"
            ' JOIN netbox_delinquency_accessline line ON line.contract_id = contract.id'
            ' LEFT JOIN netbox_delinquency_policystage stage ON stage.id = contract.stage_id'
            f" WHERE line.username = '{NAME}'"
        )
        return tuple(row.split('|'))


@pytest.fixture
def world(running):
    world = World(running)
    running.sql('UPDATE netbox_delinquency_billingsource SET payments_known_at = now()')
    yield world
    world.owe(0)
    world.evaluate()
    assert world.stands() == ('', 'normal')


def test_a_payment_while_all_contracts_are_evaluated_is_not_overwritten(world):
    world.owe(90)
    world.evaluate_while(f'UPDATE netbox_delinquency_contract SET oldest_due_date = NULL WHERE {CONTRACT}')
    assert world.stands() == ('', 'normal')


def test_a_line_that_was_given_back_while_all_are_evaluated_stays_so(world):
    line = f"UPDATE netbox_delinquency_accessline SET {{}} WHERE username = '{NAME}'"
    world.owe(90)
    world.evaluate()
    assert world.stands() == ('block', 'blocked')
    world.stack.sql(line.format("intended_mode = 'throttled', intended_down_kbps = 1000, intended_up_kbps = 500"))
    world.evaluate_while(line.format("intended_mode = 'normal', intended_down_kbps = NULL, intended_up_kbps = NULL"))
    assert world.stands() == ('block', 'normal')


def test_a_payment_that_waits_for_the_line_still_gives_it_back(world):
    world.owe(90)
    world.evaluate()
    world.owe(0)
    claimed = f"UPDATE netbox_delinquency_accessline SET unverified = unverified WHERE username = '{NAME}'"
    world.evaluate_while(claimed, contracts=[int(world.pk)])
    assert world.stands() == ('', 'normal')
