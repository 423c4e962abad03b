"""A driver's parameters as a form: made from its schema, checked by it, and kept as small as they can be."""

import pytest
from django import forms as django_forms

from netbox_delinquency.forms import EnforcementPointForm, ServicePlanForm
from netbox_delinquency.models import EnforcementPoint
from nornir_tasks.drivers import get_driver
from nornir_tasks.drivers.support_table import own_drivers
from tests.plugin.factories import make_plan, make_point

pytestmark = pytest.mark.django_db

DRIVERS = [driver.name for driver in own_drivers()]
POINT = {
    'name': 'bras-9',
    'status': 'active',
    'mode': 'enforce',
    'driver': 'radius',
    'address': '192.0.2.9',
    'timeout': 10,
    'batch_size': 100,
}
BOOLEANS = {'parameter__send_message_authenticator': 'on'}
PLAN = {'name': 'x', 'down_kbps': 9000, 'up_kbps': 900, 'throttled_down_kbps': 90, 'throttled_up_kbps': 9}


def point_form(instance=None, **data):
    return EnforcementPointForm({**POINT, **data}, instance=instance)


@pytest.mark.parametrize('driver', DRIVERS)
def test_every_parameter_of_every_driver_is_a_field_with_its_help(driver):
    form = EnforcementPointForm(initial={'driver': driver})
    model = get_driver(driver).PointParameters
    shown = {name.split('__')[1] for name in form.fields if name.startswith('parameter__')}
    assert shown == set(model.model_fields)
    for name, field in model.model_fields.items():
        if f'parameter__{name}' in form.fields:
            assert form.fields[f'parameter__{name}'].help_text == (field.description or ''), name
    assert isinstance(form.fields['parameters'].widget, django_forms.HiddenInput)


def test_kinds_of_fields():
    fields = EnforcementPointForm(initial={'driver': 'radius'}).fields
    assert dict(fields['parameter__engine'].choices) == {'postgresql': 'postgresql', 'mysql': 'mysql'}
    assert 'juniper' in dict(fields['parameter__dialect'].choices)
    assert (fields['parameter__coa_port'].min_value, fields['parameter__coa_port'].max_value) == (1, 65535)
    assert isinstance(fields['parameter__trust_acknowledgement'], django_forms.BooleanField)
    assert isinstance(fields['parameter__settle_seconds'], django_forms.FloatField)
    assert fields['parameter__blocked_group'].initial == 'nbd-restricted'
    assert EnforcementPointForm(initial={'driver': 'nokia_sros'}).fields['parameter__service_id'].required
    assert 'parameter__ssh__jump_host' in EnforcementPointForm(initial={'driver': 'linux'}).fields


def test_only_what_differs_from_the_defaults_is_kept():
    data = BOOLEANS | {
        'parameter__dialect': 'mikrotik', 'parameter__coa_port': '3799', 'parameter__window': '64',
        'parameter__engine': 'postgresql', 'parameter__live': 'coa', 'parameter__names': '{"normal": "home"}',
        'parameter__trust_acknowledgement': 'on', 'parameter__blocked_group': 'nbd-restricted', 'parameter__nas': '[]',
    }  # fmt: skip
    form = point_form(**data)
    assert form.is_valid(), form.errors
    assert form.save().parameters == {
        'dialect': 'mikrotik', 'window': 64, 'names': {'normal': 'home'}, 'trust_acknowledgement': True,
    }  # fmt: skip


def test_what_is_stored_is_shown_and_can_be_taken_back():
    point = make_point(
        driver='linux', parameters={'sudo': True, 'ssh': {'jump_host': '10.0.0.1'}, 'resolvers': ['::1']}
    )
    form = EnforcementPointForm(instance=point)
    shown = {name: form[name].initial for name in form.fields if name.startswith('parameter__')}
    assert (shown['parameter__sudo'], shown['parameter__ssh__jump_host']) == (True, '10.0.0.1')
    assert shown['parameter__resolvers'] == ['::1']
    data = {
        'driver': 'linux',
        'parameter__ssh__jump_host': '',
        'parameter__table': 'netbox_access',
        'parameter__resolvers': '',
    }
    form = point_form(point, **data)
    assert form.is_valid(), form.errors
    assert form.save().parameters == {}


def test_a_complaint_of_the_driver_stands_at_its_field():
    form = point_form(**BOOLEANS, parameter__dialect='mikrotik', parameter__nas='[{"address": "nowhere"}]',
                      parameter__live='console', parameter__group_rates='{"slow": "fast"}')  # fmt: skip
    assert not form.is_valid()
    assert 'does not appear to be an IPv4 or IPv6 address' in str(form.errors['parameter__nas'])
    assert 'in kbit/s' in str(form.errors['parameter__group_rates'])
    form = point_form(**BOOLEANS, parameter__live='console')
    assert 'there is no ' in str(form.non_field_errors())
    assert not EnforcementPoint.objects.filter(name='bras-9').exists()


def test_a_console_is_checked_by_its_own_driver():
    console = '{"driver": "huawei_vrp", "credential": "me60", "parameters": {"policies": {"slow": {"mode": "fast"}}}}'
    form = point_form(**BOOLEANS, parameter__console=console)
    assert not form.is_valid()
    assert 'normal' in str(form.errors['parameter__console'])


def test_a_script_may_post_the_object_itself():
    form = point_form(parameters='{"dialect": "juniper"}')
    assert form.is_valid(), form.errors
    assert form.save().parameters == {'dialect': 'juniper'}
    form = point_form(parameters='{"colour": "red"}')
    assert not form.is_valid()
    assert 'Extra inputs' in str(form.non_field_errors())


def test_a_plan_has_the_parameters_of_the_drivers_in_use_and_keeps_the_others():
    make_point(driver='freeradius_sql')
    make_point(driver='linux')
    plan = make_plan(parameters={'routeros': {'profile': 'home'}})
    form = ServicePlanForm(instance=plan)
    shown = {name for name in form.fields if name.startswith('parameter__')}
    assert {name.split('__')[1] for name in shown} == {'freeradius_sql', 'routeros'}
    assert form.fields['parameter__routeros__profile'].initial == 'home'
    data = PLAN | {'parameter__routeros__profile': 'home', 'parameter__routeros__throttled_profile': 'slow',
                   'parameter__freeradius_sql__group': 'home-9', 'parameter__freeradius_sql__names': ''}  # fmt: skip
    form = ServicePlanForm(data, instance=plan)
    assert form.is_valid(), form.errors
    assert form.save().parameters == {
        'routeros': {'profile': 'home', 'throttled_profile': 'slow'}, 'freeradius_sql': {'group': 'home-9'},
    }  # fmt: skip
    form = ServicePlanForm(data | {'parameter__freeradius_sql__group': 'x' * 65}, instance=plan)
    assert 'parameter__freeradius_sql__group' in form.errors
