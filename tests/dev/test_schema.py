"""The dump of NetBox in the tree: the one of the pinned NetBox, with all its migrations and nothing of ours."""

import gzip
import re

import pytest

from dev import schema
from dev.services import ROOT


@pytest.fixture(scope='module')
def shipped():
    with gzip.open(schema.shipped(), 'rt') as text:
        return text.read()


def rows(sql, table):
    """The rows of a table in a dump, as lists of strings."""
    block = re.search(rf'^COPY public\.{table} \(([^)]*)\) FROM stdin;\n(.*?)^\\\.$', sql, re.DOTALL | re.MULTILINE)
    return [line.split('\t') for line in block[2].splitlines()]


def test_there_is_one_dump_and_it_is_that_of_the_pinned_netbox():
    assert [path.name for path in ROOT.glob('dev/netbox-*-schema.sql.gz')] == [schema.shipped().name]
    assert f'"netbox=={schema.netbox_version()}"' in (ROOT / 'pyproject.toml').read_text()


def test_it_has_every_migration_that_the_installed_netbox_has_and_no_other(shipped):
    from django.db.migrations.loader import MigrationLoader

    installed = {key for key in MigrationLoader(None).graph.nodes if key[0] != 'netbox_delinquency'}
    replaced = {key for migration in MigrationLoader(None).replacements.values() for key in migration.replaces}
    applied = {(row[1], row[2]) for row in rows(shipped, 'django_migrations')}
    assert installed <= applied
    assert applied <= installed | replaced


def test_it_is_empty_of_objects_and_of_the_plugin(shipped):
    for table in ('dcim_device', 'dcim_site', 'users_user', 'core_job', 'extras_tag'):
        assert rows(shipped, table) == []
    assert 'netbox_delinquency' not in shipped


def test_every_table_and_column_of_netboxs_models_is_in_it(shipped):
    from django.apps import apps

    tables = {
        name: set(re.findall(r'^    "?(?!CONSTRAINT)(\w+)"? ', body, re.MULTILINE))
        for name, body in re.findall(r'^CREATE TABLE public\.(\w+) \((.*?)^\);', shipped, re.DOTALL | re.MULTILINE)
    }
    for model in apps.get_models(include_auto_created=True):
        if model._meta.app_label != 'netbox_delinquency' and model._meta.managed and not model._meta.proxy:
            columns = {field.column for field in model._meta.local_concrete_fields}
            assert columns == tables.get(model._meta.db_table), model._meta.label


def test_where_another_netbox_is_installed_it_is_migrated_and_kept_outside_the_tree(monkeypatch, tmp_path):
    monkeypatch.setattr(schema, 'version', lambda _: '4.7.99')
    monkeypatch.setenv('NETBOX_SCHEMA_CACHE', str(tmp_path))
    assert schema.dump_path() == tmp_path / 'netbox-4.7.99-schema.sql.gz'


def test_two_dumps_are_equal_but_for_moments_random_words_and_the_order_of_rows():
    kept = (
        'SET x = 0;\n\nCREATE TABLE a (\n    b integer\n);\n\n'
        'COPY a (b) FROM stdin;\n1\t2026-01-01 10:00:00.5+00\n2\t\\N\n\\.\n\n'
    )
    made = kept.replace('2026-01-01 10:00:00.5', '2027-02-02 11:11:11')
    rest, block = made.split('COPY', 1)
    assert schema.differences(made, kept) == []
    assert schema.differences(f'COPY{block}{rest}', kept) == []
    assert schema.differences(made.replace('b integer', 'b bigint'), kept) != []
    assert schema.differences(made.replace('2\t\\N\n', ''), kept) != []
    assert schema.NOISE.match('\\restrict abc\n')
    assert schema.NOISE.match('-- Dumped by pg_dump version 15.1\n')
