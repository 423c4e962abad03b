"""Evaluation of 10 k, 100 k and 1 M contracts in a real PostgreSQL, beside a bare UPDATE and an ORM loop.

`python -m benchmarks.bench_policy [N …]`. Exit 1 where a bar is missed:
full evaluation ≤ 3 × the bare update of the same rows; with 1 % changed ≤ 1 × it; a contract costs at 1 M ≤ 1.5 × what
it costs at 10 k.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

NOW = datetime(2026, 11, 18, 10, tzinfo=ZoneInfo('America/Sao_Paulo'))  # a Wednesday in business hours
SIZES = (10_000, 100_000, 1_000_000)
FULL, DELTA, SCALE = 3.0, 1.0, 1.5

LOAD = """
TRUNCATE netbox_delinquency_contract, netbox_delinquency_accessline, netbox_delinquency_notice,
         netbox_delinquency_hold, core_objectchange RESTART IDENTITY CASCADE;
INSERT INTO netbox_delinquency_contract (created, last_updated, custom_field_data, description, comments, external_id,
    status, oldest_due_date, open_balance, unpaid_invoices, awaiting_clearing, dunning_note, time_zone, tier, in_relief,
    subscriber_id, source_id, plan_id, policy_id, calendar_id)
SELECT now(), now(), '{}', '', '', 'C-' || n, 'active', date '2026-11-18' - (n::bigint * 7919 %% 90)::int,
       (n %% 300)::numeric + 1,
       1 + (n %% 3)::int, false, '', '', '', false, %(subscriber)s, %(source)s, %(plan)s,
       (%(policies)s)[1 + n %% 3], (%(calendars)s)[1 + n / 3 %% 3]
  FROM generate_series(1, %(n)s) n;
INSERT INTO netbox_delinquency_accessline (created, last_updated, custom_field_data, description, comments, contract_id,
    status, username, circuit_id, ipv6, cwmp_id, intended_mode, channel, pinned, observed_mode, unverified, baseline,
    cpe_observed_mode, cpe_unverified, cpe_baseline, bras_id)
SELECT now(), now(), '{}', '', '', id, 'active', external_id, '', '', '', 'normal', 'bras', false, '', false, '{}',
       '', false, '{}', %(bras)s
  FROM netbox_delinquency_contract;
INSERT INTO netbox_delinquency_notice (created, last_updated, custom_field_data, description, comments, contract_id,
    kind, reference, channel, delivered_at, asserted_by)
SELECT now(), now(), '{}', '', '', id, 'suspension', 'N-' || id, 'email', oldest_due_date + interval '5 days 12 hours',
       'billing'
  FROM netbox_delinquency_contract WHERE id %% 5 <> 0 AND oldest_due_date < date '2026-11-10';
INSERT INTO netbox_delinquency_hold (created, last_updated, custom_field_data, description, comments, contract_id, kind,
    reason, reference, approver_id, starts_at, ends_at, end_reason)
SELECT now(), now(), '{}', '', '', id, (ARRAY['dispute', 'open_ticket', 'payment_agreement'])[1 + id %% 3], 'x', '',
       %(user)s, timestamptz '2026-11-10', timestamptz '2026-12-10', ''
  FROM netbox_delinquency_contract WHERE id %% 20 = 7;
"""
TABLES = ('contract', 'accessline', 'notice', 'hold')


def setup() -> dict:
    from django.contrib.auth import get_user_model

    from netbox_delinquency.models import (
        BillingSource,
        Calendar,
        DelinquencyPolicy,
        EnforcementPoint,
        PolicyStage,
        ServicePlan,
        Subscriber,
    )  # fmt: skip

    places = (('SP', 'America/Sao_Paulo'), ('AM', 'America/Manaus'), ('PE', 'America/Recife'))
    calendars = [
        Calendar.objects.create(name=state, country='BR', subdivision=state, time_zone=zone) for state, zone in places
    ]
    policies = []
    for number, calendar in enumerate(calendars):
        policy = DelinquencyPolicy.objects.create(
            name=f'Law {number}', min_notice_days=15, calendar=calendar, start_from='09:00', start_until='17:00',
            no_start_days='fri,sat,sun,holiday,holiday_eve',
        )  # fmt: skip
        stages = (
            ('due', 1, 'remind'), ('due', 5, 'notice'), ('notice', 15, 'throttle'), ('notice', 30, 'block'),
            ('previous', 60, 'propose_termination'),
        )  # fmt: skip
        for position, (clock, days, action) in enumerate(stages, 1):
            PolicyStage.objects.create(policy=policy, position=position, clock=clock, after_days=days, action=action)
        policies.append(policy.pk)
    plan = ServicePlan.objects.create(
        name='Fibre', down_kbps=100_000, up_kbps=50_000, throttled_down_kbps=1_000, throttled_up_kbps=500
    )
    bras = EnforcementPoint.objects.create(name='bras', driver='routeros', address='192.0.2.1', credential='bras')
    source = BillingSource.objects.create(
        name='b', slug='b', credential='b', heartbeat_minutes=60, payments_known_at=NOW - timedelta(minutes=5)
    )
    return {
        'policies': policies, 'calendars': [calendar.pk for calendar in calendars], 'plan': plan.pk, 'bras': bras.pk,
        'source': source.pk, 'subscriber': Subscriber.objects.create(external_id='S').pk,
        'user': get_user_model().objects.create(username='bench').pk,
    }  # fmt: skip


def sql(statement: str, parameters: dict | None = None) -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount


def vacuum() -> None:
    for table in TABLES:
        sql(f'VACUUM ANALYZE netbox_delinquency_{table}')
    sql('CHECKPOINT')


def cpu_seconds() -> float:
    """What PostgreSQL's process of our connection has computed so far; 0 where it is not on this machine."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute('SELECT pg_backend_pid()')
        status = Path(f'/proc/{cursor.fetchone()[0]}/stat')
    if not status.exists():
        return 0.0
    fields = status.read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def timed(what: str, work) -> tuple[float, float]:
    """Seconds by the clock, and of them the seconds that PostgreSQL computed: the rest is others' load, and waiting."""
    started, computed = time.perf_counter(), cpu_seconds()
    work()
    took = time.perf_counter() - started, cpu_seconds() - computed
    print(f'  {what}: {took[0]:.2f} s, of which PostgreSQL computed {took[1]:.2f} s', flush=True)
    return took


def measure(n: int, given: dict, rounds: int) -> dict[str, tuple[float, float]]:
    from netbox_delinquency.policy.days import ensure_start_days
    from netbox_delinquency.policy.evaluate import evaluate

    sql(LOAD, {**given, 'n': n})
    ensure_start_days(NOW.date())
    seconds: dict[str, list[tuple[float, float]]] = {'full': [], 'delta': [], 'bare': []}
    stage = given['stage']
    for number in range(rounds):
        sql("""UPDATE netbox_delinquency_contract SET stage_id = NULL, stage_since = NULL, took_effect_at = NULL,
               next_stage_id = NULL, next_action_on = NULL, next_action_at = NULL, in_relief = false, dunning_note = '',
               oldest_due_date = date '2026-11-18' - (id * 7919 %% 90)::int""", {'n': n})  # fmt: skip
        sql("UPDATE netbox_delinquency_accessline SET intended_mode = 'normal', intended_down_kbps = NULL,"
            ' intended_up_kbps = NULL')  # fmt: skip
        vacuum()
        found = []
        seconds['full'].append(timed('full', lambda found=found: found.append(evaluate(NOW))))
        vacuum()
        assert found[0].contracts >= 0.95 * n, found
        sql('DROP TABLE IF EXISTS bench_line; CREATE UNLOGGED TABLE bench_line AS SELECT id FROM'
            " netbox_delinquency_accessline WHERE intended_mode <> 'normal'")  # fmt: skip
        sql('UPDATE netbox_delinquency_contract SET oldest_due_date = NULL WHERE id %% 100 = %(r)s', {'r': number})
        seconds['delta'].append(timed('1 % changed', lambda: evaluate(NOW)))
        vacuum()

        def bare() -> None:
            sql(
                """UPDATE netbox_delinquency_contract SET stage_id = %(stage)s, stage_since = %(now)s,
                   took_effect_at = %(now)s,
                   next_stage_id = %(stage)s, next_action_on = %(now)s::date, next_action_at = %(now)s,
                   dunning_note = 'x'""",
                {'stage': stage, 'now': NOW},
            )
            sql("UPDATE netbox_delinquency_accessline line SET intended_mode = 'blocked', intended_down_kbps = NULL,"
                ' intended_up_kbps = NULL FROM bench_line WHERE line.id = bench_line.id')  # fmt: skip

        seconds['bare'].append(timed('bare update', bare))
    best = {name: min(values) for name, values in seconds.items()}
    full, delta, bare = best['full'][0], best['delta'][0], best['bare'][0]
    print(
        f'n={n}: full {full:.2f} s ({n / full:,.0f} contracts/s, {found[0].lines} lines), '
        f'1 % changed {delta:.2f} s ({n / delta:,.0f}/s), bare update {bare:.2f} s ({n / bare:,.0f}/s); '
        f'full/bare {full / bare:.2f}, delta/bare {delta / bare:.2f}',
        flush=True,
    )
    return best


def orm_loop() -> float:
    """What one would write first: read an object, decide, save it."""
    from netbox_delinquency.models import Contract
    from netbox_delinquency.policy.facts import facts_of
    from netbox_delinquency.policy.stages import dunning_position

    def loop() -> None:
        for contract in Contract.objects.filter(status='active').iterator():
            position = dunning_position(*facts_of(contract.pk, NOW), NOW)
            contract.stage_id = position.stage and position.stage.pk
            contract.stage_since = NOW if position.stage else None
            contract.next_stage_id = position.next_stage and position.next_stage.pk
            contract.next_action_on, contract.next_action_at = position.next_action_on, position.next_action_at
            contract.dunning_note, contract.in_relief = position.note, position.in_relief
            contract.save(update_fields=[
                'stage', 'stage_since', 'next_stage', 'next_action_on', 'next_action_at', 'dunning_note', 'in_relief',
            ])  # fmt: skip

    return timed('ORM loop', loop)[0]


def main(sizes: tuple[int, ...]) -> int:
    import django

    django.setup()
    from netbox_delinquency.models import PolicyStage

    given = setup()
    given['stage'] = PolicyStage.objects.order_by('pk').last().pk
    results, orm = {}, 0.0
    for n in sizes:
        results[n] = measure(n, given, 5 if n <= 10_000 else 3 if n <= 100_000 else 1)
        if n == sizes[0] and 'BENCH_NO_ORM' not in os.environ:
            orm = orm_loop()
            print(f'ORM loop of {n}: {orm:.2f} s ({n / orm:,.0f} contracts/s)', flush=True)
    first, last = sizes[0], sizes[-1]
    by_clock = {n: {name: clock for name, (clock, _) in best.items()} for n, best in results.items()}
    full = by_clock[last]['full'] / by_clock[last]['bare']
    delta = by_clock[last]['delta'] / by_clock[last]['bare']
    scale = (by_clock[last]['full'] / last) / (by_clock[first]['full'] / first)
    print(
        f'policy: n={last} full_vs_update={full:.2f} delta_vs_update={delta:.2f} scale_1m_vs_10k={scale:.2f} '
        f'orm_loop_ratio={orm / by_clock[first]["full"]:.2f}'
    )
    return 0 if full <= FULL and delta <= DELTA and scale <= SCALE else 1


if __name__ == '__main__':
    if 'DELINQUENCY_DEV_DATABASE' not in os.environ:
        root = Path(__file__).parent.parent
        command = [sys.executable, '-m', 'dev', 'run', '--database', 'netbox_bench', sys.executable, __file__]
        sys.exit(subprocess.call([*command, *sys.argv[1:]], cwd=root))
    sys.exit(main(tuple(int(size) for size in sys.argv[1:]) or SIZES))
