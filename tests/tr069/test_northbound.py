"""The northbound API as a client sees it: token, errors, description, metrics."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.simulators.cpe_trees import INTERNET_098, MANAGEMENT_098
from tests.tr069.conftest import TOKEN, Lab, lab
from tr069.acs.app import Acs
from tr069.acs.settings import AcsSettings, SettingsError, load_settings

RATE = f'{INTERNET_098}.ShapingRate'


async def call(room: Lab, method: str, path: str, body: Any = None, token: str = TOKEN) -> httpx.Response:
    headers = {'Authorization': f'Bearer {token}'} if token else {}
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    async with httpx.AsyncClient(base_url=room.api, headers=headers) as http:
        return await http.request(method, path, content=content, timeout=10)


def in_lab(url: str, scenario: Any, **settings: Any) -> None:
    async def run() -> None:
        async with lab(url, **settings) as room:
            await scenario(room)

    asyncio.run(run())


def test_only_health_and_the_description_are_open(sqlite_url: str) -> None:
    async def scenario(room: Lab) -> None:
        assert (await call(room, 'GET', '/healthz', token='')).json() == {'status': 'ok', 'devices': 0}
        description = (await call(room, 'GET', '/openapi.json', token='')).json()
        for token in ('', 'wrong', TOKEN[:-1], TOKEN + 'x'):
            for template, methods in description['paths'].items():
                for method, operation in methods.items():
                    if operation['security']:
                        answer = await call(room, method.upper(), template.replace('{', '').replace('}', ''), {}, token)
                        assert answer.status_code == 401, template

    in_lab(sqlite_url, scenario)


def test_the_description_is_whole(sqlite_url: str) -> None:
    async def scenario(room: Lab) -> None:
        found = (await call(room, 'GET', '/openapi.json')).json()
        assert found['openapi'].startswith('3.1')
        text = json.dumps(found)
        schemas = found['components']['schemas']
        for reference in {part.split('"')[0] for part in text.split('#/components/schemas/')[1:]}:
            assert reference in schemas
        assert found['paths']['/v1/apply']['post']['requestBody']['required']
        assert found['paths']['/v1/devices/{device_id}']['get']['parameters'][0]['in'] == 'path'

    in_lab(sqlite_url, scenario)


@pytest.mark.parametrize(
    ('method', 'path', 'body', 'status', 'said'),
    [
        ('GET', '/nowhere', None, 404, '/openapi.json'),
        ('DELETE', '/v1/devices', None, 405, 'DELETE'),
        ('GET', '/v1/devices/nobody', None, 404, 'nobody'),
        ('GET', '/v1/tasks/nothing', None, 404, 'no such task'),
        ('POST', '/v1/apply', b'{', 422, 'JSON'),
        ('POST', '/v1/apply', {}, 422, 'device_ids'),
        (
            'POST',
            '/v1/apply',
            {'device_ids': ['x'], 'profile': 'p', 'revision': 'r' * 33, 'values': []},
            422,
            'revision',
        ),
        ('POST', '/v1/status', {'device_ids': [], 'surprise': 1}, 422, 'surprise'),
        ('POST', '/v1/quarantine/release', {'model': 'x'}, 404, 'not in quarantine'),
        ('GET', '/v1/devices?limit=many', None, 422, 'many'),
    ],
)
def test_wrong_calls_get_a_sentence(sqlite_url: str, method: str, path: str, body: Any, status: int, said: str) -> None:
    async def scenario(room: Lab) -> None:
        answer = await call(room, method, path, body)
        assert answer.status_code == status
        assert said in answer.json()['error']

    in_lab(sqlite_url, scenario)


@pytest.mark.parametrize('number', ['nan', 'inf', '-1', '-inf', 'x', '1e999'])
@pytest.mark.parametrize('name', ['timeout_s', 'max_age_s'])
def test_a_duration_that_is_none_is_refused(sqlite_url: str, name: str, number: str) -> None:
    async def scenario(room: Lab) -> None:
        cpe = room.cpe()
        await cpe.inform()
        answer = await call(room, 'GET', f'/v1/devices/{cpe.id}/levers?{name}={number}')
        assert (answer.status_code, name in answer.json()['error']) == (422, True)
        if number in ('nan', 'inf', '-inf'):  # JSON has no such numbers, but readers of it do
            word = {'nan': 'NaN', 'inf': 'Infinity', '-inf': '-Infinity'}[number]
            body = f'{{"names": ["Device."], "timeout_s": {word}}}'.encode()
            assert (await call(room, 'POST', f'/v1/devices/{cpe.id}/read', body)).status_code == 422

    in_lab(sqlite_url, scenario)


def test_the_body_of_a_call_without_the_token_is_not_kept(sqlite_url: str) -> None:
    async def scenario(room: Lab) -> None:
        reader, writer = await asyncio.open_connection('127.0.0.1', room.acs.northbound_port)
        writer.write(b'POST /v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n' + b'x' * 1_999_999)
        await writer.drain()
        assert room.acs.northbound._http.held == 0
        writer.write(b'x')
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b'HTTP/1.1 401 ')
        writer.close()

    in_lab(sqlite_url, scenario)


def test_values_that_no_device_should_see_are_refused(sqlite_url: str) -> None:
    async def scenario(room: Lab) -> None:
        cpe = room.cpe()
        await cpe.inform()
        body = {'device_ids': [cpe.id], 'profile': 'p', 'revision': 'r'}
        for value in (
            {'name': RATE, 'value': 'a\x00b'},
            {'name': '<x/>', 'value': '1'},
            {'name': RATE, 'value': '1', 'type': '"><x'},
            {'name': RATE, 'value': '1', 'type': 'xsd:Int'},
        ):
            assert (await call(room, 'POST', '/v1/apply', body | {'values': [value]})).status_code == 422
        twice = [{'name': RATE, 'value': '1000'}, {'name': RATE, 'value': '2000'}]
        assert (await call(room, 'POST', '/v1/apply', body | {'values': twice})).status_code == 422

    in_lab(sqlite_url, scenario)


async def task(room: Lab, device_id: str, method: str, **arguments: Any) -> Any:
    body = {'method': method, 'arguments': arguments, 'connection_request': False}
    answer = await call(room, 'POST', f'/v1/devices/{device_id}/tasks', body)
    return answer.json() | {'status': answer.status_code}


def test_every_rpc_can_be_asked_once(sqlite_url: str) -> None:
    async def scenario(room: Lab) -> None:
        cpe = room.cpe()
        await cpe.inform()
        asked = [
            await task(room, cpe.id, 'read', names=[RATE]),
            await task(room, cpe.id, 'getParameterNames', path=f'{cpe.root}.'),
            await task(room, cpe.id, 'getParameterAttributes', names=[RATE]),
            await task(room, cpe.id, 'getRPCMethods'),
            await task(room, cpe.id, 'setParameterValues', values=[[RATE, '64000', 'xsd:int']]),
            await task(room, cpe.id, 'setParameterAttributes', attributes=[[RATE, 2]]),
            await task(room, cpe.id, 'addObject', path=f'{cpe.root}.QueueManagement.Queue.'),
            await task(room, cpe.id, 'deleteObject', path=f'{cpe.root}.QueueManagement.Queue.1.'),
            await task(room, cpe.id, 'scheduleInform', delay_s=30),
            await task(room, cpe.id, 'download', url='http://files.example/fw.bin'),
            await task(room, cpe.id, 'reboot', command_key='k'),
        ]
        assert {item['status'] for item in asked} == {202}
        await cpe.inform()
        for item in asked:
            done = (await call(room, 'GET', f'/v1/tasks/{item["id"]}')).json()
            assert done['state'] == 'done', done
        assert (await call(room, 'GET', f'/v1/tasks/{asked[6]["id"]}')).json()['answer']['instance'] == 1
        assert cpe.reboots == 1
        assert cpe.value(RATE) == '64000'
        reset = await task(room, cpe.id, 'factoryReset')
        await cpe.inform()
        assert cpe.resets == 1
        assert (await call(room, 'GET', f'/v1/tasks/{reset["id"]}')).json()['state'] == 'done'

    in_lab(sqlite_url, scenario)


def test_a_task_is_guarded_like_everything_else(sqlite_url: str) -> None:
    async def scenario(room: Lab) -> None:
        cpe = room.cpe()
        await cpe.inform()
        bad = [
            await task(room, cpe.id, 'setParameterValues', values=[[f'{MANAGEMENT_098}.Enable', '0', 'xsd:boolean']]),
            await task(room, cpe.id, 'setParameterValues', values=[[RATE, '64', 'xsd:int']]),
            await task(room, cpe.id, 'deleteObject', path=f'{MANAGEMENT_098}.'),
            await task(room, cpe.id, 'addObject', path=f'{cpe.root}.Firewall.Rule.'),
        ]
        served = await cpe.inform()
        for item in bad:
            done = (await call(room, 'GET', f'/v1/tasks/{item["id"]}')).json()
            assert done['state'] == 'failed'
            assert done['answer']['error'].startswith('refused')
        assert 'SetParameterValues' not in served.rpcs
        assert 'DeleteObject' not in served.rpcs
        assert not cpe.is_cut

    in_lab(sqlite_url, scenario)


def test_unknown_methods_and_wrong_arguments_are_refused_before_they_are_queued(sqlite_url: str) -> None:
    async def scenario(room: Lab) -> None:
        cpe = room.cpe()
        await cpe.inform()
        assert (await task(room, cpe.id, 'explode'))['status'] == 422
        assert (await task(room, cpe.id, 'addObject'))['status'] == 422
        assert (await task(room, cpe.id, 'setParameterValues', values=[[RATE, '1'], [RATE, '2']]))['status'] == 422
        assert (await cpe.inform()).rpcs == []

    in_lab(sqlite_url, scenario)


def test_a_task_that_nobody_came_for_expires(sqlite_url: str) -> None:
    async def scenario(room: Lab) -> None:
        cpe = room.cpe()
        await cpe.inform()
        late = await task(room, cpe.id, 'reboot')
        room.clock.offset += 7200
        await cpe.inform()
        assert cpe.reboots == 0
        assert (await call(room, 'GET', f'/v1/tasks/{late["id"]}')).json()['state'] == 'expired'

    in_lab(sqlite_url, scenario)


def test_a_reboot_whose_answer_was_lost_is_not_done_twice(sqlite_url: str) -> None:
    async def scenario(room: Lab) -> None:
        cpe = room.cpe()
        await cpe.inform()
        await task(room, cpe.id, 'setParameterValues', values=[[RATE, '64000', 'xsd:int']])
        cpe.manners.loses_answer = True
        from tests.simulators.cpe import LostConnectionError

        with pytest.raises(LostConnectionError):
            await cpe.inform()
        served = await cpe.inform()
        assert served.rpcs == []
        assert len([item for item in cpe.sets if RATE in item]) == 1

    in_lab(sqlite_url, scenario)


def test_metrics_count_what_happened(sqlite_url: str) -> None:
    async def scenario(room: Lab) -> None:
        cpe = room.cpe()
        await cpe.inform()
        text = (await call(room, 'GET', '/metrics')).text
        assert 'tr069_informs_total 1.0' in text
        assert 'tr069_sessions_ended_total{how="done"} 1.0' in text
        assert 'tr069_devices 1.0' in text

    in_lab(sqlite_url, scenario)


def test_secrets_come_by_name_and_a_missing_one_stops_the_start(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('TR069_ACS_SECRET')
    with pytest.raises(SettingsError, match='TR069_ACS_SECRET'):
        Acs(AcsSettings())
    (tmp_path / 'TR069_ACS_SECRET').write_text('short\n')
    with pytest.raises(SettingsError, match='16 characters'):
        Acs(AcsSettings(secrets_directory=tmp_path))
    (tmp_path / 'TR069_ACS_SECRET').write_text('long enough to be a secret\n')
    Acs(AcsSettings(secrets_directory=tmp_path, database=f'sqlite:///{tmp_path}/x'))


@pytest.mark.parametrize('text', ['cpe: {port: many}', 'surprise: 1', '[', 'cpe: {deny: [x]}'])
def test_a_wrong_settings_file_names_itself(tmp_path, text: str) -> None:
    path = tmp_path / 'acs.yaml'
    path.write_text(text)
    with pytest.raises(SettingsError, match=r'acs\.yaml'):
        load_settings(path)
