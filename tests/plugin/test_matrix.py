"""Who may reach what: every page, REST endpoint, action and GraphQL type, for every kind of account.

The table says what each needs. A new page, action or type without a row fails here.
"""

import json
from datetime import timedelta
from functools import cache

import pytest
from core.models import ObjectType
from django.apps import apps
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from users.constants import TOKEN_PREFIX
from users.models import ObjectPermission, Token, User

from netbox_delinquency import urls as pages
from netbox_delinquency.api import urls as rest
from netbox_delinquency.graphql.schema import DelinquencyQuery
from netbox_delinquency.models import EnforcementSettings

from .api.base import APP
from .matrix_objects import make_one_of_each

pytestmark = pytest.mark.django_db

# What the views that every model has need of that model; and the tabs that NetBox gives it.
PAGES = {
    '': 'view', 'list': 'view', 'add': 'add', 'edit': 'change', 'delete': 'delete', 'bulk_import': 'add',
    'bulk_edit': 'change', 'bulk_delete': 'delete', 'changelog': 'view', 'journal': 'view', 'jobs': 'view',
    # What is ours: of the page's own model, unless it says another.
    'trust_unlock': 'unlock', 'review': 'review', 'explain': 'view', 'simulate': 'view', 'progress': 'view',
    'refresh_cpe': 'check_enforcementpoint', 'match_cpes': 'check', 'check': 'check', 'reconcile': 'reconcile',
    'process': 'process',
    'presets': 'view', 'approve': 'approve', 'start': 'execute', 'pause': 'execute', 'resume': 'execute',
    'cancel': 'cancel', 'revert': 'view', 'end': 'change', 'accept': 'change', 'decline': 'change',
    'switch': 'change', 'bulk_profile': 'enforce', 'bulk_adopt': 'enforce', 'bulk_reconcile': 'enforce',
    'bulk_unpin': 'enforce', 'bulk_plan': 'enforce', 'bulk_revert': 'view', 'bulk_lift': 'lift',
    'bulk_let_go': 'lift', 'bulk_process': 'process', 'bulk_review': 'review',
}  # fmt: skip

# Of each method what a list or an object over REST needs; of each action the same.
METHODS = {'get': 'view', 'post': 'add', 'put': 'change', 'patch': 'change', 'delete': 'delete'}
ACTIONS = {
    'contract-explain': 'view', 'contract-review': 'review', 'contract-trust-unlock': 'unlock',
    'accessline-adopt': 'enforce', 'accessline-reconcile': 'enforce', 'accessline-unpin': 'enforce',
    'accessline-refresh-cpe': 'check_enforcementpoint', 'enforcementpoint-check': 'check',
    'enforcementpoint-match-cpes': 'check', 'enforcementpoint-reconcile': 'reconcile',
    'delinquencypolicy-simulate': 'view', 'enforcementrun-plan': 'enforce_accessline',
    'enforcementrun-plan-profile': 'enforce_accessline', 'enforcementrun-approve': 'approve',
    'enforcementrun-begin': 'execute', 'enforcementrun-cancel': 'cancel', 'enforcementrun-claim': 'execute',
    'enforcementrun-finish': 'execute', 'enforcementrun-finished': 'execute', 'enforcementrun-health': 'execute',
    'enforcementrun-pause': 'execute', 'enforcementrun-preview': 'view', 'enforcementrun-progress': 'view',
    'enforcementrun-resume': 'execute', 'enforcementrun-revert': 'enforce_accessline',
    'enforcementrun-sending': 'execute', 'enforcementrun-start': 'execute', 'enforcementrun-unsent': 'execute',
    'restriction-lift': 'lift', 'restriction-let-go': 'lift', 'billingevent-process': 'process',
    'billingevent-review': 'review', 'hold-end': 'change', 'planchangeorder-accept': 'change',
    'planchangeorder-decline': 'change',
}  # fmt: skip
# Asks for no account: a signature stands for one (test_webhook.py). And the list of the endpoints themselves.
OPEN = {'webhook', 'api-root'}
# Shows nothing: it leads whoever comes to the one page of the settings, which asks.
LEADS_ON = 'enforcementsettings_list'

MODELS = sorted((model._meta.model_name for model in apps.get_app_config(APP).get_models()), key=len, reverse=True)
DENIED = {302, 401, 403, 404}  # 302: to the login, or away


def rights(*actions):
    """These actions on every model, by name."""
    return {f'{action}_{model}' for action in actions for model in MODELS}


ROLES = {
    'no rights': set(),
    'viewer': rights('view'),
    'constrained viewer': rights('view'),  # on no object that there is
    'operator': rights(
        'view', 'add', 'change', 'enforce', 'execute', 'check', 'reconcile', 'process', 'lift', 'cancel'
    ),
    'approver': rights('view', 'approve', 'review', 'unlock'),
}


def walk(patterns, above=''):
    for pattern in patterns:
        path = above + str(pattern.pattern)
        if hasattr(pattern, 'url_patterns'):
            yield from walk(pattern.url_patterns, path)
        else:
            yield pattern, path


def split(name, separator):
    """Model and suffix of the name of a URL."""
    model = next(model for model in MODELS if name.startswith(model))
    return model, name.removeprefix(model).removeprefix(separator)


@cache
def all_pages():
    """URL name → what it needs, and whether it is about one object."""
    found = {}
    for pattern, path in walk(pages.urlpatterns):
        model, suffix = split(pattern.name, '_')
        need = PAGES[suffix]
        found[pattern.name] = (need if '_' in need else f'{need}_{model}', model if 'pk' in path else None)
    return found


@cache
def all_endpoints():
    """(URL name, method) → what it needs, and whether it is about one object."""
    found = {}
    for pattern, path in walk(rest.urlpatterns):
        if pattern.name in OPEN or 'format' in path:
            continue
        model, suffix = split(pattern.name, '-')
        about_one = model if 'pk' in path else None
        for method in pattern.callback.actions.keys() - {'head'}:  # added with the first request that is answered
            need = METHODS[method] if suffix in ('list', 'detail') else ACTIONS[pattern.name]
            found[pattern.name, method] = (need if '_' in need else f'{need}_{model}', about_one)
    return found


@pytest.fixture(scope='module')
def world(django_db_setup, django_db_blocker):
    """One object of each model and one account of each kind, made once and rolled back."""
    with django_db_blocker.unblock(), transaction.atomic():
        objects = make_one_of_each()
        EnforcementSettings().save()
        objects['enforcementsettings'] = EnforcementSettings.load()
        clients, tokens = {'anonymous': Client()}, {}
        for name, permissions in ROLES.items():
            user = User.objects.create_user(name.replace(' ', '-'))
            grant(user, permissions, {'pk': 0} if name == 'constrained viewer' else None)
            clients[name], tokens[name] = Client(), token(user)
            clients[name].force_login(user)
        user = User.objects.create_superuser('root')
        clients['superuser'], tokens['superuser'] = Client(), token(user)
        clients['superuser'].force_login(user)
        tokens['read-only token'] = token(user, write_enabled=False)
        tokens['expired token'] = token(user, expires=timezone.now() - timedelta(days=1))
        tokens['IP-bound token'] = token(user, allowed_ips=['192.0.2.1/32'])
        yield objects, clients, tokens
        transaction.set_rollback(True)


def grant(user, permissions, constraints):
    by_model = {}
    for permission in permissions:
        action, _, model = permission.rpartition('_')
        by_model.setdefault(model, []).append(action)
    by_actions = {}
    for model, actions in by_model.items():
        by_actions.setdefault(tuple(sorted(actions)), []).append(model)
    for number, (actions, models) in enumerate(by_actions.items()):
        held = ObjectPermission.objects.create(name=f'{user} {number}', actions=list(actions), constraints=constraints)
        held.users.add(user)
        held.object_types.set(ObjectType.objects.filter(app_label=APP, model__in=models))


def token(user, **values):
    made = Token.objects.create(user=user, version=2, **values)
    return {'HTTP_AUTHORIZATION': f'Bearer {TOKEN_PREFIX}{made.key}.{made.token}'}


@pytest.fixture
def database(world, django_db_blocker):
    """What a request does is undone after it."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield world
        transaction.set_rollback(True)


def may(role, need, about_one, name=''):
    if role == 'superuser':
        return True
    if role == 'constrained viewer':
        # The settings are one object, and their list is that one.
        return need in ROLES[role] and about_one is None and name != 'enforcementsettings-list'
    return need in ROLES.get(role, ())


def visit(client, name, pk):
    response = client.get(reverse(f'plugins:{APP}:{name}', args=[pk] if pk else []))
    if response.status_code == 405:
        response = client.post(reverse(f'plugins:{APP}:{name}', args=[pk] if pk else []))
    return response


def test_every_page_has_a_row_and_every_row_a_page():
    assert {split(name, '_')[1] for name in all_pages()} == set(PAGES)
    assert {name for name, _ in all_endpoints() if split(name, '-')[1] not in ('list', 'detail')} == set(ACTIONS)


@pytest.mark.parametrize('role', ['anonymous', *ROLES, 'superuser'])
def test_pages(database, role):
    objects, clients, _ = database
    wrong = {}
    for name, (need, about_one) in all_pages().items():
        if name == LEADS_ON:
            continue
        if role in ('operator', 'approver') and need in ROLES['viewer']:
            continue  # the viewer sees the same page by the same right, and it takes the longest
        response = visit(clients[role], name, objects[about_one].pk if about_one else None)
        posted = response.request['REQUEST_METHOD'] == 'POST'
        # After a button one is led back, and so from a page that wants a selection; or told that it cannot be now.
        led_back = response.status_code == 302 and '/login/' not in response.headers['Location']
        passed = (
            response.status_code == 200 or led_back or (posted and response.status_code == 404 and role == 'superuser')
        )
        if passed != may(role, need, about_one):
            wrong[name] = (response.status_code, need)
    assert wrong == {}


@pytest.mark.parametrize('role', ['anonymous', *ROLES, 'superuser'])
def test_rest(database, role):
    objects, _, tokens = database
    wrong = {}
    for (name, method), (need, about_one) in all_endpoints().items():
        response = call(name, method, objects[about_one].pk if about_one else None, tokens.get(role, {}))
        # Whoever may is told what is wrong with the empty body, not that there is no such thing.
        passed = response.status_code not in DENIED
        if passed != may(role, need, about_one, name):
            wrong[name, method] = (response.status_code, need)
    assert wrong == {}


def call(name, method, pk, headers):
    """What it does is undone at once: the others are still to be asked for the same objects."""
    url = reverse(f'plugins-api:{APP}-api:{name}', args=[pk] if pk else [])
    data = json.dumps([] if name.endswith('-list') and method != 'post' else {})
    with transaction.atomic():
        answer = getattr(Client(raise_request_exception=False), method)(
            url, **({} if method == 'get' else {'data': data, 'content_type': 'application/json'}), **headers
        )
        transaction.set_rollback(True)
    return answer


@pytest.mark.parametrize('kind', ['read-only token', 'expired token', 'IP-bound token'])
def test_tokens_of_a_superuser_that_are_bound(database, kind):
    objects, _, tokens = database
    wrong = {}
    for (name, method), (_, about_one) in all_endpoints().items():
        response = call(name, method, objects[about_one].pk if about_one else None, tokens[kind])
        passed = response.status_code not in DENIED
        if passed != (kind == 'read-only token' and method == 'get'):
            wrong[name, method] = response.status_code
    assert wrong == {}


@pytest.mark.parametrize('role', ['anonymous', *ROLES, 'superuser'])
def test_graphql_types(database, role):
    _, _, tokens = database
    lists = [field.name for field in DelinquencyQuery.__strawberry_definition__.fields if field.name.endswith('_list')]
    query = ' '.join(f'{name} {{id}}' for name in lists)
    response = Client().post(
        reverse('graphql'),
        json.dumps({'query': f'{{{query}}}'}),
        content_type='application/json',
        **tokens.get(role, {}),
    )
    if role == 'anonymous':
        assert response.status_code in DENIED
        return
    found = response.json()['data']
    everything = role in ('viewer', 'operator', 'approver', 'superuser')
    assert {name for name in lists if bool(found[name]) != everything} == set()
