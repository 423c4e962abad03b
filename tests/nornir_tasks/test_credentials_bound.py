"""Who may change a point in NetBox chooses which credential goes to which address; the credential has the last word."""

import json

import pytest

from nornir_tasks.connections.acs import AcsConnection, AcsParameters
from nornir_tasks.connections.freeradius import FreeRADIUSConnection
from nornir_tasks.connections.radius import DynamicAuthorization, NasParameters
from nornir_tasks.connections.ssh import SSHConnection
from nornir_tasks.credentials import Credential, bound, credential_for
from nornir_tasks.errors import ConfigurationError, CredentialRefusedError
from nornir_tasks.points import Point

PLANTED = 'pl4nted-s3cret'


@pytest.fixture(autouse=True)
def environ(monkeypatch, tmp_path):
    """A worker as it is set up: credentials that are for one network, and nothing unbound."""
    monkeypatch.delenv('DELINQUENCY_UNBOUND_CREDENTIALS')
    core = {'username': 'op', 'password': PLANTED, 'secret': PLANTED, 'hosts': ['10.20.0.0/16', '*.bras.example']}
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_CORE', json.dumps(core))
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_ANY', json.dumps({'username': 'op', 'password': PLANTED}))
    monkeypatch.setenv('DELINQUENCY_PROFILES_DIR', str(tmp_path / 'profiles'))
    monkeypatch.setenv('DELINQUENCY_CA_DIR', str(tmp_path / 'ca'))
    return monkeypatch


@pytest.mark.parametrize('host', ['10.20.3.4', 'a.bras.example', 'A.BRAS.EXAMPLE.'])
def test_it_is_given_for_the_hosts_that_it_names(host):
    assert credential_for('core', host=host, driver='routeros').username == 'op'


@pytest.mark.parametrize(
    'host', ['10.21.0.1', '192.0.2.66', 'bras.example', 'a.bras.example.evil.net', '::1', '', '10.20']
)
def test_for_no_other_host(host):
    with pytest.raises(CredentialRefusedError) as refused:
        credential_for('core', host=host, driver='routeros')
    assert PLANTED not in str(refused.value)


def test_one_that_names_no_hosts_is_for_none_unless_the_worker_says_so(environ):
    with pytest.raises(CredentialRefusedError, match='names no "hosts"'):
        credential_for('any', host='10.20.3.4', driver='routeros')
    environ.setenv('DELINQUENCY_UNBOUND_CREDENTIALS', '1')
    assert credential_for('any', host='10.20.3.4', driver='routeros').username == 'op'


def test_one_that_names_drivers_is_for_these_alone():
    credential = Credential(hosts=('::/0',), drivers=('routeros',))
    assert bound(credential, 'x', host='2001:db8::1', driver='routeros') is credential
    with pytest.raises(CredentialRefusedError, match='driver radius_coa'):
        bound(credential, 'x', host='2001:db8::1', driver='radius_coa')


@pytest.mark.parametrize(
    ('connection', 'driver', 'parameters'),
    [
        (SSHConnection, 'routeros', {}),
        (FreeRADIUSConnection, 'freeradius_sql', {}),
        (AcsConnection, 'acs_embedded', {}),
        (AcsConnection, 'genieacs', {'url': 'https://evil.example:7557'}),
    ],
)
def test_no_connection_takes_it_elsewhere(connection, driver, parameters):
    point = Point('p', driver, '192.0.2.66', credential='core', parameters=parameters, timeout=0.2)
    with pytest.raises(CredentialRefusedError):
        connection().open('p', extras={'point': point})


def test_nor_a_jump_host_of_somebodys_choice():
    parameters = {'jump_host': '192.0.2.66', 'jump_host_key': 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'}
    point = Point('p', 'routeros', '10.20.0.1', credential='core', parameters={'ssh': parameters})
    with pytest.raises(CredentialRefusedError, match=r'192\.0\.2\.66'):
        SSHConnection().open('p', extras={'point': point})


def test_no_request_is_signed_with_it_for_another_nas():
    authorization = DynamicAuthorization(credential_for('core', host='10.20.0.1', driver='radius'), 'core', 'radius')
    assert authorization.secret_of('10.20.0.2', NasParameters()) == PLANTED.encode()
    for address, nas in (('192.0.2.66', NasParameters()), ('10.20.0.2', NasParameters(coa_address='192.0.2.66'))):
        with pytest.raises(CredentialRefusedError):
            authorization.secret_of(address, nas)


def test_a_token_travels_over_http_only_where_its_credential_says_so(environ):
    point = Point('acs', 'genieacs', '10.20.0.1', credential='core', parameters={'url': 'http://10.20.0.1:7557'})
    with pytest.raises(ConfigurationError, match='allow_http'):
        AcsConnection().open('acs', extras={'point': point})
    allowed = {'secret': PLANTED, 'hosts': ['10.20.0.1'], 'allow_http': True}
    environ.setenv('DELINQUENCY_CREDENTIAL_CORE', json.dumps(allowed))
    connection = AcsConnection()
    connection.open('acs', extras={'point': point})
    connection.close()


@pytest.mark.parametrize(
    'name', ['/etc/netbox-delinquency/credentials', '../credentials', 'a/b', '.hidden', '..', 'a\n']
)
@pytest.mark.parametrize('field', ['ca_file', 'profiles_directory'])
def test_a_point_names_files_of_the_worker_and_no_paths(field, name):
    with pytest.raises(ValueError, match=field) as refused:
        AcsParameters.model_validate({field: name})
    assert name not in str(refused.value)


@pytest.mark.parametrize('text', [f'password: {PLANTED}', PLANTED, f'{{"a": "{PLANTED}', f'name: [{PLANTED}]'])
def test_what_a_wrong_file_holds_is_said_to_nobody(tmp_path, text):
    (tmp_path / 'profiles' / 'own').mkdir(parents=True)
    (tmp_path / 'profiles' / 'own' / 'x.yaml').write_text(text)
    (tmp_path / 'ca').mkdir()
    (tmp_path / 'ca' / 'ca.pem').write_text(text)
    for parameters in ({'profiles_directory': 'own'}, {'ca_file': 'ca.pem'}):
        point = Point('acs', 'genieacs', '10.20.0.1', credential='core', parameters=parameters)
        with pytest.raises(ConfigurationError) as refused:
            AcsConnection().open('acs', extras={'point': point})
        assert PLANTED not in str(refused.value)
        assert refused.value.__cause__ is None or PLANTED not in str(refused.value.__cause__)
