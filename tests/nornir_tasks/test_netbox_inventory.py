"""The inventory plugin: devices and points of NetBox as hosts, over pages, from a snapshot, and what it refuses."""

import os
import stat

import pytest
from nornir import InitNornir

from nornir_tasks.errors import ConfigurationError
from nornir_tasks.inventory.netbox_inventory import NetBoxInventory
from nornir_tasks.netbox import NetBoxError
from tests.simulators.netbox import TOKEN, netbox


def device(number, **values):
    return {
        'id': number,
        'name': f'sw-{number}',
        'status': {'value': 'active', 'label': 'Active'},
        'site': {'id': 1, 'name': 'São Paulo', 'slug': 'sao-paulo'},
        'role': {'id': 1, 'name': 'Switch', 'slug': 'switch'},
        'device_type': {'id': 1, 'slug': 'm1', 'manufacturer': {'id': 1, 'slug': 'maker'}},
        'platform': {'id': 1, 'slug': 'ios'},
        'primary_ip': {'address': f'192.0.2.{number}/32'},
        'serial': 'S1',
        'asset_tag': None,
        'tags': [{'slug': 'core'}],
        'custom_fields': {'rack_unit': 4},
    } | values


@pytest.fixture
def box(monkeypatch):
    with netbox() as box:
        monkeypatch.setenv('NETBOX_URL', box.url)
        monkeypatch.setenv('NETBOX_TOKEN', TOKEN)
        yield box


def test_devices_are_hosts_with_address_platform_groups_and_data(box):
    box.devices = [device(1), device(2, platform=None, primary_ip=None, name=None)]
    inventory = NetBoxInventory(of='devices').load()
    host = inventory.hosts['sw-1']
    assert (host.hostname, host.platform) == ('192.0.2.1', 'ios')
    assert [group.name for group in host.groups] == [
        'site__sao-paulo', 'platform__ios', 'device_role__switch', 'manufacturer__maker', 'device_type__m1',
    ]  # fmt: skip
    assert host['custom_fields'] == {'rack_unit': 4}
    assert host['tags'] == ['core']
    assert (inventory.hosts['2'].hostname, inventory.hosts['2'].platform) == ('2', None)


def test_only_active_devices_that_fit_the_filters_are_hosts(box):
    box.devices = [device(1), device(2, status={'value': 'offline'}), device(3, serial='S3')]
    assert set(NetBoxInventory(of='devices').load().hosts) == {'sw-1', 'sw-3'}
    assert set(NetBoxInventory(of='devices', serial='S3').load().hosts) == {'sw-3'}


def test_pages_are_put_together(box):
    box.devices = [device(number, name=f'sw-{number:04}') for number in range(1, 2502)]
    hosts = NetBoxInventory(of='devices').load().hosts
    assert list(hosts) == [f'sw-{number:04}' for number in range(1, 2502)]
    assert len(box.requests) == 3


def test_two_devices_of_one_name_are_refused_and_not_mixed_up(box):
    box.devices = [device(1), device(2, name='sw-1')]
    with pytest.raises(ConfigurationError, match=r'two devices are called "sw-1" \(1 and 2\): filter by site'):
        NetBoxInventory(of='devices').load()


def test_a_snapshot_spares_netbox_while_it_is_young_and_answers_the_same_question(box, tmp_path):
    snapshot = tmp_path / 'kept' / 'devices.json'
    options = {'of': 'devices', 'snapshot': str(snapshot)}
    box.devices = [device(1), device(2)]
    assert set(NetBoxInventory(**options).load().hosts) == {'sw-1', 'sw-2'}
    assert stat.S_IMODE(snapshot.stat().st_mode) == 0o600
    box.devices = [device(3)]
    assert set(NetBoxInventory(**options).load().hosts) == {'sw-1', 'sw-2'}
    assert set(NetBoxInventory(**options, serial='S1').load().hosts) == {'sw-3'}, 'other filters, another question'
    os.utime(snapshot, (0, 0))
    box.devices = [device(4)]
    assert set(NetBoxInventory(**options).load().hosts) == {'sw-4'}


def test_a_snapshot_that_cannot_be_read_is_a_sentence(box, tmp_path):
    (tmp_path / 'devices.json').write_text('{"asked')
    with pytest.raises(ConfigurationError, match='cannot be read'):
        NetBoxInventory(of='devices', snapshot=str(tmp_path / 'devices.json')).load()


def test_points_are_hosts_for_nornir_by_name(box):
    box.add_point('bras-1', 22, 'SHA256:x', max_rows_per_second=5)
    box.add_point('bras-2', 22, 'SHA256:x', status='maintenance')
    nornir = InitNornir(
        inventory={'plugin': 'netbox_delinquency'}, runner={'plugin': 'serial'}, logging={'enabled': False}
    )
    assert set(nornir.inventory.hosts) == {'bras-1'}
    point = nornir.inventory.hosts['bras-1']['point']
    assert (point.driver, point.host_key, point.rate_per_s) == ('routeros', 'SHA256:x', 5)


def test_what_cannot_be_is_refused(box, monkeypatch):
    with pytest.raises(ConfigurationError, match='hosts are points or devices'):
        NetBoxInventory(of='racks')
    monkeypatch.setenv('NETBOX_TOKEN', 'wrong')
    with pytest.raises(NetBoxError, match='Invalid token'):
        NetBoxInventory().load()
