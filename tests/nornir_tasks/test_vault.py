"""Credentials from Vault, and what is said where they cannot be had: never the token, never the secret."""

from __future__ import annotations

import logging
import sys
import traceback

import pytest

from nornir_tasks.credentials import get_credential
from nornir_tasks.errors import CredentialMissingError
from tests.simulators.vault import vault_server

PLANTED, TOKEN = 'pl4nted-s3cret', 'pl4nted-t0ken'


@pytest.fixture
def vault(tmp_path):
    secrets = {'secret/netbox-delinquency/core-bras': {'username': 'op', 'password': PLANTED}}
    with vault_server(tokens={TOKEN}, secrets=secrets) as vault:
        yield vault


@pytest.fixture
def environ(vault, tmp_path):
    return {'VAULT_ADDR': vault.url, 'VAULT_TOKEN': TOKEN, 'DELINQUENCY_CREDENTIALS_DIR': str(tmp_path)}


def refusal(name, environ, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(CredentialMissingError) as refused:
        get_credential(name, environ)
    shown = ''.join(traceback.format_exception(refused.value)) + repr(refused.value) + caplog.text
    assert TOKEN not in shown
    assert PLANTED not in shown
    return str(refused.value)


def test_a_credential_is_read_by_its_name(environ):
    credential = get_credential('core-bras', environ)
    assert (credential.username, credential.password.get_secret_value()) == ('op', PLANTED)
    assert PLANTED not in repr(credential)


def test_mount_and_folder_are_settings(environ, vault):
    vault.secrets['kv/isp/bras/edge'] = {'username': 'edge'}
    environ |= {'DELINQUENCY_VAULT_MOUNT': 'kv', 'DELINQUENCY_VAULT_PATH': '/isp/bras/'}
    assert get_credential('edge', environ).username == 'edge'


def test_environment_and_file_come_first_and_vault_is_not_asked(environ, vault, tmp_path):
    environ['DELINQUENCY_CREDENTIAL_CORE_BRAS'] = '{"username": "environment"}'
    assert get_credential('core-bras', environ).username == 'environment'
    file = tmp_path / 'other.yaml'
    file.write_text('username: file')
    file.chmod(0o600)
    assert get_credential('other', environ).username == 'file'
    assert vault.asked == []


def test_without_an_address_it_is_not_asked(environ, vault):
    with pytest.raises(CredentialMissingError):
        get_credential('core-bras', {**environ, 'VAULT_ADDR': ''})
    assert vault.asked == []


def test_a_name_that_is_not_there_tells_all_places(environ, caplog):
    assert 'secret/netbox-delinquency/edge' in refusal('edge', environ, caplog)


def test_a_name_cannot_lead_elsewhere(environ, vault, caplog):
    refusal('../sys/health', environ, caplog)
    assert vault.asked == []


def test_a_wrong_token_is_a_sentence_with_a_remedy(environ, vault, caplog):
    vault.tokens.clear()
    assert 'VAULT_TOKEN may not read it' in refusal('core-bras', environ, caplog)


def test_a_sealed_vault_and_one_that_is_gone_are_said_so(environ, vault, caplog):
    vault.sealed = True
    assert 'VaultDown' in refusal('core-bras', environ, caplog)
    assert 'no answer' in refusal('core-bras', {**environ, 'VAULT_ADDR': 'http://127.0.0.1:1'}, caplog)


def test_wrong_fields_are_named_without_their_values(environ, vault, caplog):
    vault.secrets['secret/netbox-delinquency/core-bras'] = {'usernme': PLANTED}
    assert 'usernme' in refusal('core-bras', environ, caplog)


def test_a_missing_extra_is_named(environ, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, 'hvac', None)
    assert 'netbox-delinquency[vault]' in refusal('core-bras', environ, caplog)
