"""Secrets by name: where they are looked up, and that they are told to nobody."""

import traceback

import pytest

from nornir_tasks.credentials import Credential, get_credential
from nornir_tasks.errors import CredentialMissingError

PLANTED = 'pl4nted-s3cret'


def write(directory, text, mode=0o600, name='core-bras'):
    path = directory / f'{name}.yaml'
    path.write_text(text)
    path.chmod(mode)
    return {'DELINQUENCY_CREDENTIALS_DIR': str(directory)}


def test_a_credential_comes_from_the_environment():
    environ = {'DELINQUENCY_CREDENTIAL_CORE_BRAS': f'{{"username": "op", "password": "{PLANTED}"}}'}
    credential = get_credential('core-bras', environ)
    assert credential.username == 'op'
    assert credential.password.get_secret_value() == PLANTED


def test_a_credential_comes_from_a_file_that_only_its_owner_may_change(tmp_path):
    environ = write(tmp_path, f'username: op\npassword: {PLANTED}\n', 0o640)
    assert get_credential('core-bras', environ).password.get_secret_value() == PLANTED


def test_the_environment_comes_first(tmp_path):
    environ = write(tmp_path, 'username: file\n')
    environ['DELINQUENCY_CREDENTIAL_CORE_BRAS'] = '{"username": "environment"}'
    assert get_credential('core-bras', environ).username == 'environment'


@pytest.mark.parametrize('mode', [0o604, 0o644, 0o620, 0o666, 0o601])
def test_a_file_that_others_may_read_or_the_group_may_write_is_refused(tmp_path, mode):
    environ = write(tmp_path, f'password: {PLANTED}\n', mode)
    with pytest.raises(CredentialMissingError, match='chmod 0640'):
        get_credential('core-bras', environ)


def test_a_missing_credential_names_the_places_looked_in(tmp_path):
    with pytest.raises(CredentialMissingError) as missing:
        get_credential('core-bras', {'DELINQUENCY_CREDENTIALS_DIR': str(tmp_path)})
    assert 'DELINQUENCY_CREDENTIAL_CORE_BRAS' in str(missing.value)
    assert str(tmp_path / 'core-bras.yaml') in str(missing.value)


@pytest.mark.parametrize('name', ['', '../shadow', '/etc/passwd', 'a/b', 'a b', '.hidden', 'a\n', 'a\0b'])
def test_a_name_cannot_lead_out_of_the_directory(tmp_path, name):
    (tmp_path / 'inside').mkdir()
    write(tmp_path, f'password: {PLANTED}\n', name='shadow')
    with pytest.raises(CredentialMissingError, match='not a credential name'):
        get_credential(name, {'DELINQUENCY_CREDENTIALS_DIR': str(tmp_path / 'inside')})


@pytest.mark.parametrize(
    'text',
    [
        f'{{"username": "op", "pasword": "{PLANTED}"}}',
        f'{{"username": ["{PLANTED}"]}}',
        f'{{"password": {{"deep": "{PLANTED}"}}}}',
        f'{{"password": "{PLANTED}"',
        f'"{PLANTED}"',
        f'[{{"password": "{PLANTED}"}}]',
        PLANTED,
    ],
)
def test_a_wrong_credential_never_tells_what_it_holds(tmp_path, text):
    for environ in ({'DELINQUENCY_CREDENTIAL_CORE_BRAS': text}, write(tmp_path, text)):
        with pytest.raises(CredentialMissingError) as wrong:
            get_credential('core-bras', environ)
        shown = ''.join(traceback.format_exception(wrong.value)) + repr(wrong.value)
        assert PLANTED not in shown
        assert 'core-bras' in str(wrong.value)


def test_a_credential_shows_no_secret_in_any_form():
    credential = Credential(
        username='op', password=PLANTED, passphrase=PLANTED, secret=PLANTED, previous_secret=PLANTED
    )
    shown = f'{credential!r} {credential!s} {credential.model_dump()} {credential.model_dump_json()} {vars(credential)}'
    assert PLANTED not in shown
