"""The commands behind the Makefile: `python -m dev COMMAND`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from dev.extra import paramiko_before_5
from dev.instance import BIN, check_schema, ensure_templates, environment, instance, make_schema
from dev.services import ROOT, Postgres, ServiceError, say, services

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

SSH_TESTS = [
    ROOT / 'tests' / 'nornir_tasks' / f'test_{name}.py' for name in ('ssh', 'ssh_ways', 'consoles', 'routeros')
]
PARALLEL = ['--numprocesses', 'auto', '--maxprocesses', '4', '--dist', 'loadfile', '--no-loadscope-reorder']
PASS_THROUGH = {'allow_extra_args': True, 'ignore_unknown_options': True}


def call(command: list[str], env: dict[str, str]) -> int:
    """Run in the foreground; Ctrl-C reaches the child first, and we wait for it to finish.

    SIGTERM reaches us alone (see the end of this file): the child is asked to end too, and waited for.
    """
    process = subprocess.Popen(command, cwd=ROOT, env=env)
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue
    except SystemExit:
        process.terminate()
        process.wait()
        raise


@app.command()
def setup() -> None:
    """Start the services once and build the template database."""
    with services() as urls:
        ensure_templates(urls)
    say('setup: ok')


@app.command(context_settings=PASS_THROUGH)
def test(context: typer.Context) -> None:
    """Run pytest with services and a template database; arguments are pytest's.

    Without any: all, a worker a core, with coverage, and those of SSH once more with paramiko 4.
    """
    with services() as urls:
        ensure_templates(urls)
        env = environment(urls, 'netbox')
        if context.args:
            raise typer.Exit(call([sys.executable, '-m', 'pytest', *context.args], env))
        coverage = [sys.executable, '-m', 'coverage']
        call([*coverage, 'erase'], env)
        failed = call([*coverage, 'run', '-m', 'pytest', '-q', *PARALLEL], env)
        call([*coverage, 'combine', '--quiet'], env)
        for package in ('netbox_delinquency', 'nornir_tasks', 'tr069'):
            say(f'coverage of {package}')
            report = [*coverage, 'report', f'--include={package}/*', '--fail-under=90']
            failed = call(report, env) or failed
    raise typer.Exit(ssh_tests(paramiko_before_5()) or failed)


@app.command()
def check() -> None:
    """Fail where models and migrations differ."""
    with instance('netbox_check') as env:
        raise typer.Exit(call([str(BIN / 'netbox'), 'makemigrations', '--check', '--dry-run'], env))


@app.command()
def schema(check: Annotated[bool, typer.Option(help='compare only; minutes')] = False) -> None:
    """Make the dump of the installed NetBox anew, or check that it and the template are what migrations make."""
    if not check:
        make_schema()
        say('schema: made; commit it, and remove the one of the version before')
        return
    if differ := check_schema():
        raise ServiceError('\n'.join(differ))
    say('schema: ok')


@app.command()
def messages() -> None:
    """Compile the message catalogues that are newer than what was compiled of them."""
    for source in ROOT.glob('netbox_delinquency/locale/*/LC_MESSAGES/*.po'):
        target = source.with_suffix('.mo')
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            with source.open('rb') as po, target.open('wb') as mo:
                write_mo(mo, read_po(po))


@app.command()
def makemessages() -> None:
    """Renew the catalogues from the sources (needs gettext's xgettext)."""
    command = [str(BIN / 'django-admin'), 'makemessages', '--locale', 'pt_BR', '--no-location', '--no-obsolete']
    raise typer.Exit(subprocess.run(command, cwd=ROOT / 'netbox_delinquency', check=False).returncode)


@app.command()
def bench(names: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Run benchmarks (`policy`, `acs`, …), or all; each exits with 1 where it misses its bar."""
    scripts = sorted(ROOT.glob('benchmarks/bench_*.py'))
    if unknown := set(names or ()) - {script.stem.removeprefix('bench_') for script in scripts}:
        raise typer.BadParameter(f'there is no benchmark {", ".join(sorted(unknown))}')
    missed = []
    with instance('netbox_bench') as env:
        for script in scripts:
            name = script.stem.removeprefix('bench_')
            if not names or name in names:
                say(f'--- {name}')
                if call([sys.executable, '-m', f'benchmarks.{script.stem}'], env):
                    missed.append(name)
    if missed:
        raise ServiceError(f'missed their bars: {", ".join(missed)}')


@app.command()
def ssh() -> None:
    """Run the tests of SSH with paramiko 4 and with the installed one; they need no services."""
    raise typer.Exit(ssh_tests(paramiko_before_5()) or ssh_tests(None))


def ssh_tests(folder: Path | None) -> int:
    """Run them with the packages of that folder before the installed ones; answers pytest's exit status."""
    env = dict(os.environ) | ({'PYTHONPATH': str(folder)} if folder else {})
    version = subprocess.check_output([sys.executable, '-c', 'import paramiko; print(paramiko.__version__)'], env=env)
    say(f'tests of SSH with paramiko {version.decode().strip()}')
    return call([sys.executable, '-m', 'pytest', '-p', 'no:django', '-q', *map(str, SSH_TESTS)], env)


@app.command(context_settings=PASS_THROUGH)
def netbox(context: typer.Context, database: Annotated[str, typer.Option()] = 'netbox_scratch') -> None:
    """Run a NetBox management command on a kept scratch database."""
    with instance(database, keep=True) as env:
        raise typer.Exit(call([str(BIN / 'netbox'), *context.args], env))


@app.command(context_settings=PASS_THROUGH)
def run(context: typer.Context, database: Annotated[str, typer.Option()] = 'netbox_scratch') -> None:
    """Run any program with the environment of a NetBox instance on a new database."""
    with instance(database) as env:
        raise typer.Exit(call(context.args, env))


@app.command()
def demo() -> None:
    """The main job, end to end; exits with 0 only where every figure is right."""
    from dev.demo import demo

    raise typer.Exit(demo())


@app.command()
def serve() -> None:
    """NetBox with the demo network behind it, until Ctrl-C."""
    from dev.stack import stack
    from dev.story import tell

    with stack('netbox_serve', warm=True) as running:
        tell(running)
        say(f'NetBox:  {running.url}/plugins/delinquency/runs/')
        say(f'login:   admin / {running.password}')
        say(f'token:   {running.token}')
        say(f'routers: {running.control} (the simulated ones, and their truth)')
        say('Ctrl-C ends it')
        try:
            signal.pause()
        except KeyboardInterrupt:
            say('ending')


@app.command()
def stop() -> None:
    """Stop every private PostgreSQL, whoever uses it."""
    for postgres in Postgres.all():
        postgres.stop()


if __name__ == '__main__':
    # A shell that starts us in the background has Ctrl-C ignored, by us and by all that we start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # SIGTERM (a CI that gives up) unwinds like Ctrl-C, so that nothing is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.chdir(ROOT)
    try:
        app()
    except ServiceError as error:
        sys.exit(f'{error}')
