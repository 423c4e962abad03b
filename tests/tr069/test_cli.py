"""`tr069-acs` from the outside."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.simulators.cpe import Cpe
from tests.simulators.cpe_trees import INTERNET_098
from tests.tr069.conftest import SECRET, TOKEN, Lab, lab
from tr069.acs.cpe.auth import derive_password
from tr069.cli import app

RATE = f'{INTERNET_098}.ShapingRate'


class Background:
    """A lab in a thread of its own, as the CLI runs a loop of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        async with lab(self._url) as room:
            cpe = room.cpe('S1')
            await cpe.listen()
            await cpe.inform()
            await room.acs.store.flush()
            self.room, self.cpe, self.loop, self.stop = room, cpe, asyncio.get_running_loop(), asyncio.Event()
            follower = asyncio.create_task(self._follow(cpe))
            self._ready.set()
            await self.stop.wait()
            follower.cancel()

    async def _follow(self, cpe: Cpe) -> None:
        while True:
            await cpe.called.wait()
            cpe.called.clear()
            await cpe.inform('6 CONNECTION REQUEST')

    def __enter__(self) -> tuple[Lab, Cpe]:
        self._thread.start()
        assert self._ready.wait(10)
        return self.room, self.cpe

    def __exit__(self, *_exc: object) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self._thread.join(10)


@pytest.fixture
def running(sqlite_url: str) -> Iterator[tuple[Lab, Cpe]]:
    with Background(sqlite_url) as pair:
        yield pair


def run(room: Lab, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, '--url', room.api], env={'COLUMNS': '400'})
    return result.exit_code, result.output


def test_levers_shows_what_would_be_used_and_why(running: tuple[Lab, Cpe], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('tr069.cli.console.width', 400, raising=False)
    monkeypatch.setattr('tr069.cli.console._width', 400, raising=False)
    room, cpe = running
    code, text = run(room, 'levers', cpe.id, '--all')
    assert code == 0
    assert RATE in text
    assert 'upload only' in text
    assert 'cuts a WAN' in text


def test_devices_read_status_and_request_connections(running: tuple[Lab, Cpe]) -> None:
    room, cpe = running
    assert cpe.id in run(room, 'devices', '--serial', 'S1')[1]
    code, text = run(room, 'read', cpe.id, RATE)
    assert (code, text.split()) == (0, [RATE, '-1', 'xsd:int'])
    assert 'none' in run(room, 'status', cpe.id)[1]
    assert 'accepted' in run(room, 'request-connections', cpe.id)[1]
    assert 'none' in run(room, 'restore', cpe.id)[1]


def test_what_goes_wrong_is_a_sentence(running: tuple[Lab, Cpe]) -> None:
    room, cpe = running
    code, text = run(room, 'levers', 'nobody')
    assert code == 1
    assert 'Traceback' not in text
    assert run(room, 'read', cpe.id, 'InternetGatewayDevice.NotThere')[0] == 1
    result = CliRunner().invoke(app, ['status', 'x', '--url', 'http://127.0.0.1:9'])
    assert result.exit_code == 1


def test_login_gives_what_a_cpe_must_be_shipped_with() -> None:
    result = CliRunner().invoke(app, ['login', '00AA11-Router-S1'])
    assert result.output == f'00AA11-Router-S1\t{derive_password(SECRET.encode(), "cpe", "00AA11-Router-S1")}\n'
    piped = CliRunner().invoke(app, ['login', '-'], input='A\nB\n')
    assert [line.split('\t')[0] for line in piped.output.splitlines()] == ['A', 'B']


def test_serve_starts_listens_and_stops_cleanly(tmp_path: Path) -> None:
    config = tmp_path / 'acs.yaml'
    config.write_text(
        f'database: sqlite:///{tmp_path}/a.db\ncpe: {{host: 127.0.0.1, port: 0}}\nnorthbound: {{port: 0}}\n'
    )
    environment = os.environ | {'TR069_ACS_SECRET': SECRET, 'TR069_ACS_TOKEN': TOKEN}
    process = subprocess.Popen(
        [sys.executable, '-m', 'tr069.cli', 'serve', '--config', config],
        stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stderr is not None
    line = process.stderr.readline()
    assert 'CPEs on port' in line
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    environment.pop('TR069_ACS_SECRET')
    failed = subprocess.run(
        [sys.executable, '-m', 'tr069.cli', 'serve', '--config', config],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert failed.returncode == 1
    assert 'TR069_ACS_SECRET' in failed.stderr
    assert 'Traceback' not in failed.stderr
