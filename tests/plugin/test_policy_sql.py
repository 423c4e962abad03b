"""How the statements of evaluation are put together; what they answer is held in test_evaluate.py."""

import re
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import TestCase

from netbox_delinquency.policy.evaluate import parameters
from netbox_delinquency.policy.sql import _blocks, _needed, compose

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def expressions(statement):
    return list(_needed(_blocks()['statement'][statement], set()))


class StatementTest(TestCase):
    def test_postgresql_accepts_every_statement(self):
        given = {**parameters(NOW, [1]), 'since': NOW, 'policy': 1}
        with connection.cursor() as cursor:
            cursor.execute(compose('copy_contracts'), given)  # what the others of a simulation read
            for name in _blocks()['statement']:
                if name != 'copy_contracts':
                    cursor.execute(f'EXPLAIN {compose(name, contracts="chosen_contracts")}', given)
            cursor.execute(
                'EXPLAIN '
                + compose(
                    'simulate_contracts', contract='simulated_contract', contracts='due_contracts',
                    late='feed_is_in_time',
                ),
                given,
            )  # fmt: skip


def test_a_statement_gets_the_expressions_that_it_reads_and_no_others():
    assert expressions('lock_lines') == []
    assert set(expressions('move_lines')) == {
        'stage_action', 'plain_stage', 'stage_in_force', 'ranked_stage', 'intended', 'wanting',
    }  # fmt: skip
    frozen = expressions('frozen_contracts')
    assert 'facts' in frozen
    assert not {'first_unreached', 'dunning_position', 'moved', 'logged'} & set(frozen)
    assert expressions('move_contracts')[-2:] == ['moved', 'logged']


def test_every_expression_comes_after_those_that_it_reads():
    for statement in _blocks()['statement']:
        order = expressions(statement)
        for place, name in enumerate(order):
            reads = [other for other in _blocks()['cte'][name].reads if other in _blocks()['cte'] and other != name]
            assert set(reads) <= set(order[:place]), (statement, name)


def test_every_block_is_used():
    used = {name for statement in _blocks()['statement'] for name in expressions(statement)}
    assert used == set(_blocks()['cte'])


def test_every_value_is_a_parameter():
    for statement in _blocks()['statement']:
        assert not re.search(r'[{}]', compose(statement))
    # The names of stage actions and of hold kinds stand in their own tables, nowhere in SQL.
    text = ' '.join(block.text for kind in _blocks().values() for block in kind.values())
    assert not re.search(r"'(throttle|block|propose_termination|warn|remind|dispute|trust_unlock)'", text)


def test_a_name_that_no_file_has_is_refused():
    with pytest.raises(KeyError):
        compose('no_such_statement')
    with pytest.raises(KeyError):
        compose('move_contracts', contracts='no_such_part')
