"""Checking a Linux box over a real OpenSSH server: this machine, and one that lacks everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nornir_tasks.connections.ssh import SSHSession
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.linux.driver import LinuxDriver
from tests.simulators.openssh import openssh_server


@pytest.fixture
def session(tmp_path):
    with openssh_server(tmp_path) as server:
        credential = Credential(username=server.username, key_file=server.key_file)
        session = SSHSession.connect('127.0.0.1', server.port, credential, server.host_key, 5)
        yield session
        session.close()


def wrong(session, now, **parameters):
    return {item.subject: item.message for item in LinuxDriver(session, parameters).check(now) if not item.ok}


def test_the_clock_is_compared(session):
    assert 'clock' not in wrong(session, datetime.now(UTC))
    assert 'ahead' in wrong(session, datetime.now(UTC) - timedelta(minutes=6))['clock']


def test_a_garden_without_a_page_or_without_dns_is_told(session):
    now = datetime.now(UTC)
    assert 'notice page' in wrong(session, now)
    assert 'resolvers' in wrong(session, now, portal_ipv4='192.0.2.80')
    complete = wrong(session, now, portal_ipv4='192.0.2.80', resolvers=['192.0.2.53'])
    assert not {'notice page', 'resolvers'} & set(complete)


def test_programs_that_are_missing_are_named_with_their_package(tmp_path):
    (tmp_path / 'sh').symlink_to('/bin/sh')
    # Even where the script adds /usr/sbin, programs of this name come first.
    for program in ('tc', 'nft'):
        (tmp_path / program).write_text('#!/bin/sh\nexit 127\n')
        (tmp_path / program).chmod(0o755)
    with openssh_server(tmp_path, (f'SetEnv PATH={tmp_path}:/usr/bin:/bin',)) as server:
        credential = Credential(username=server.username, key_file=server.key_file)
        session = SSHSession.connect('127.0.0.1', server.port, credential, server.host_key, 5)
        found = wrong(session, datetime.now(UTC))
        assert found['tc'] == 'is missing: apt-get install iproute2'
        assert found['nft'] == 'is missing: apt-get install nftables'
        assert 'privileges' in found
        session.close()
