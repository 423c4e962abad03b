"""The `tr069-acs` command: run the embedded ACS, and look at devices through it or through GenieACS."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tr069 import __version__
from tr069.acs.client import EmbeddedAcsClient
from tr069.acs.cpe.auth import DerivedCredentials
from tr069.acs.settings import AcsSettings, load_settings
from tr069.client import AcsClient, DeviceQuery, ProfileStatus
from tr069.datamodel.resolver import LeverReport
from tr069.errors import Tr069Error
from tr069.genieacs import GenieAcsClient
from tr069.genieacs.nbi import Nbi

app = typer.Typer(no_args_is_help=True, help='An ACS for TR-069, and a look at the devices behind one.')
console = Console()
errors = Console(stderr=True)


class Kind(StrEnum):
    EMBEDDED = 'embedded'
    GENIEACS = 'genieacs'


Config = Annotated[Path | None, typer.Option(help='Settings of the ACS (YAML).', envvar='TR069_ACS_CONFIG')]
Url = Annotated[str, typer.Option(help='Northbound address of the ACS.', envvar='TR069_ACS_URL')]
Which = Annotated[Kind, typer.Option(help='What answers there.', envvar='TR069_ACS_KIND')]
TokenName = Annotated[str, typer.Option('--token-secret', help='Name of the secret that holds the token.')]
Device = Annotated[str, typer.Argument(help='OUI-ProductClass-Serial, percent-encoded.')]
Devices = Annotated[list[str], typer.Argument(help='OUI-ProductClass-Serial, percent-encoded.')]
_URL = 'http://127.0.0.1:7557'
_TOKEN = 'TR069_ACS_TOKEN'


def _client(url: str, kind: Kind, token_name: str) -> AcsClient:
    if kind is Kind.GENIEACS:
        return GenieAcsClient(Nbi(url, token=os.environ.get(token_name, '')))
    return EmbeddedAcsClient(url, AcsSettings().read_secret(token_name))


def _run[T](url: str, kind: Kind, token_name: str, job: Callable[[AcsClient], Awaitable[T]]) -> T:
    """Run `job` with a client; what goes wrong is a sentence and exit status 1, not a trace."""

    async def with_client() -> T:
        client = _client(url, kind, token_name)
        try:
            return await job(client)
        finally:
            await client.aclose()

    try:
        return asyncio.run(with_client())
    except Tr069Error as error:
        errors.print(str(error), style='red', markup=False)
        raise typer.Exit(1) from error


@app.command()
def serve(
    config: Config = None, verbose: Annotated[bool, typer.Option(help='Log every oddity of a CPE.')] = False
) -> None:
    """Run the embedded ACS until it is stopped (SIGINT or SIGTERM)."""
    from tr069.acs.app import Acs, tune_garbage_collector

    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format='%(asctime)s %(levelname)s %(name)s: %(message)s'
    )
    logging.getLogger('httpx').setLevel(logging.WARNING)

    async def until_stopped() -> None:
        acs = Acs(load_settings(config))
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await acs.start()
        tune_garbage_collector()
        logging.getLogger(__name__).info(
            'tr069-acs %s: CPEs on port %d, northbound on port %d', __version__, acs.cpe_port, acs.northbound_port
        )
        await stop.wait()
        await acs.stop()

    try:
        _with_best_loop(until_stopped)
    except (Tr069Error, OSError) as error:
        errors.print(str(error), style='red', markup=False)
        raise typer.Exit(1) from error


def _with_best_loop(main: Callable[[], Awaitable[None]]) -> None:
    """uvloop where it is installed: it carries about twice the sessions."""

    async def run() -> None:
        await main()

    try:
        import uvloop
    except ImportError:
        asyncio.run(run())
    else:
        uvloop.run(run())


@app.command()
def login(devices: Devices, config: Config = None) -> None:
    """User name and password that CPEs must be shipped with, where credentials are derived. `-`: ids from stdin."""
    try:
        settings = load_settings(config)
        credentials = DerivedCredentials(settings.read_secret(settings.secret).encode())
    except Tr069Error as error:
        errors.print(str(error), style='red', markup=False)
        raise typer.Exit(1) from error
    for device in (line.strip() for line in sys.stdin) if devices == ['-'] else devices:
        typer.echo(f'{device}\t{credentials.password(device)}')


@app.command('devices')
def list_devices(
    serial: str = '', oui: str = '', product_class: str = '', software_version: str = '',
    url: Url = _URL, kind: Which = Kind.EMBEDDED, token: TokenName = _TOKEN,
) -> None:  # fmt: skip
    """Find devices."""
    query = DeviceQuery(serial=serial, oui=oui, product_class=product_class, software_version=software_version)
    table = Table('device', 'manufacturer', 'software', 'address', 'last inform')
    warnings: list[str] = []

    async def job(client: AcsClient) -> None:
        async for item in client.find(query):
            informed = item.last_inform.isoformat(timespec='seconds') if item.last_inform else 'never'
            table.add_row(item.id, item.manufacturer, item.software_version, item.address, informed)
            if item.warning:
                warnings.append(item.warning)

    _run(url, kind, token, job)
    console.print(table)
    for warning in warnings:
        errors.print(warning, style='yellow', markup=False)


@app.command()
def levers(
    device: Device, all_: Annotated[bool, typer.Option('--all', help='Also those that cannot be used.')] = False,
    timeout: float = 60.0, url: Url = _URL, kind: Which = Kind.EMBEDDED, token: TokenName = _TOKEN,
) -> None:  # fmt: skip
    """What a device can do, which levers would be used, and why. Reads the device itself."""
    report = _run(url, kind, token, lambda client: client.read_levers(device, timeout_s=timeout))
    console.print(_lever_table(report, show_all=all_))


def _lever_table(report: LeverReport, *, show_all: bool) -> Table:
    table = Table(
        'use', 'lever', 'side', 'parameter', 'now', 'unit', 'known', 'risk', 'why',
        title=f'{report.root or "no tree"}, profile {report.profile}',
    )  # fmt: skip
    for item in report.levers:
        if show_all or item.usable:
            mark = 'yes' if item.chosen else 'could' if item.usable else 'no'
            now = '' if item.current is None else item.current
            table.add_row(mark, item.kind, item.direction, item.path, now, item.unit, item.status, item.risk, item.why)
    return table


@app.command()
def read(
    device: Device, names: Annotated[list[str], typer.Argument(help='Parameters; a trailing dot reads all below.')],
    timeout: float = 30.0, url: Url = _URL, kind: Which = Kind.EMBEDDED, token: TokenName = _TOKEN,
) -> None:  # fmt: skip
    """Read parameters from the device itself."""
    reading = _run(url, kind, token, lambda client: client.read(device, names, timeout_s=timeout))
    if reading.error:
        errors.print(reading.error, style='red', markup=False)
        raise typer.Exit(1)
    for name, item in sorted(reading.values.items()):
        typer.echo(f'{name}\t{item.value}\t{item.type}')


@app.command()
def status(devices: Devices, url: Url = _URL, kind: Which = Kind.EMBEDDED, token: TokenName = _TOKEN) -> None:
    """How far the profiles of these devices are, and what they would be restored to."""
    _print_statuses(_run(url, kind, token, lambda client: client.read_back(devices)))


@app.command()
def restore(devices: Devices, url: Url = _URL, kind: Which = Kind.EMBEDDED, token: TokenName = _TOKEN) -> None:
    """Put back exactly what was there before the first profile."""
    _print_statuses(_run(url, kind, token, lambda client: client.restore(devices)))


def _print_statuses(statuses: Mapping[str, ProfileStatus]) -> None:
    table = Table('device', 'state', 'profile', 'revision', 'before', 'message')
    for item in statuses.values():
        before = '\n'.join(f'{value.name}={value.value}' for value in item.before)
        table.add_row(
            item.device_id, item.state + (' (restoring)' if item.restoring else ''), item.profile, item.revision,
            before, item.message,
        )  # fmt: skip
    console.print(table)


@app.command()
def request_connections(
    devices: Devices, url: Url = _URL, kind: Which = Kind.EMBEDDED, token: TokenName = _TOKEN
) -> None:
    """Call devices with paced connection requests."""
    for device, outcome in _run(url, kind, token, lambda client: client.request_connections(devices)).items():
        typer.echo(f'{device}\t{outcome}')


if __name__ == '__main__':
    app()
