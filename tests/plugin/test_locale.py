"""The Brazilian Portuguese catalogue: whole, faithful, up to date with the sources, and what users really see."""

import re
import shutil
from pathlib import Path

import pytest
import typer
from babel.messages.pofile import read_po
from django.urls import reverse
from django.utils import translation
from django.utils.translation.reloader import translation_file_changed
from utilities.testing import TestCase

from dev import __main__ as commands
from netbox_delinquency.choices import AccessModeChoices
from netbox_delinquency.models import AccessLine, Contract

from .base import sees_everything
from .factories import make_line

CATALOGUE = Path('netbox_delinquency/locale/pt_BR/LC_MESSAGES/django.po')
PLACEHOLDER = re.compile(r'%\(\w+\)[a-z]|%[sd]|\{\w*\}')

# Brazilian operators say these as the English do.
SAME_IN_ENGLISH = {
    'ACS', 'BRAS', 'CPE', 'ACS (ID)', 'BRAS (ID)', 'CPE (ID)', 'Driver', 'E-mail', 'Host', 'ID', 'Normal', 'Offline',
    'Portal', 'SMS', 'normal', 'download (kbit/s)', 'driver', 'executor', 'slug', 'status', 'upload (kbit/s)',
    '{seconds} s', '{minutes} min {seconds} s', '{hours} h {minutes} min',
}  # fmt: skip


def messages_of(path: Path):
    with path.open('rb') as file:
        return [message for message in read_po(file, locale='pt_BR') if message.id]


def keys(path: Path) -> list:
    return [(message.context, message.id) for message in messages_of(path)]


def forms(text) -> tuple[str, ...]:
    """A message as its plural forms; most have one."""
    return (text,) if isinstance(text, str) else tuple(text)


def placeholders(text: str) -> list[str]:
    return sorted(PLACEHOLDER.findall(text))


@pytest.fixture(scope='module', autouse=True)
def compiled():
    """The catalogue compiled as `make venv` does it, and read anew by Django, which may have read an older one."""
    commands.messages()
    translation_file_changed(None, commands.ROOT / CATALOGUE.with_suffix('.mo'))


@pytest.fixture(scope='module')
def catalogue():
    return messages_of(commands.ROOT / CATALOGUE)


def test_the_catalogue_has_exactly_the_messages_of_the_sources_in_their_order(tmp_path, monkeypatch):
    if not shutil.which('xgettext') or not shutil.which('msgmerge'):
        pytest.fail("xgettext or msgmerge is missing: install GNU gettext (Debian's package is called gettext)")
    package = commands.ROOT / 'netbox_delinquency'
    ignored = shutil.ignore_patterns('__pycache__', '*.mo')
    shutil.copytree(package, tmp_path / package.name, symlinks=True, ignore=ignored)
    monkeypatch.setattr(commands, 'ROOT', tmp_path)
    # As on the command line: outside of any NetBox instance.
    monkeypatch.delenv('DJANGO_SETTINGS_MODULE', raising=False)
    with pytest.raises(typer.Exit) as end:
        commands.makemessages()
    assert end.value.exit_code == 0
    monkeypatch.undo()

    committed, renewed = keys(commands.ROOT / CATALOGUE), keys(tmp_path / CATALOGUE)
    new, gone = (sorted(map(str, found)) for found in (set(renewed) - set(committed), set(committed) - set(renewed)))
    assert new == [], 'run `make messages` and translate these'
    assert gone == [], 'run `make messages`: the sources do not have these any more'
    assert committed == renewed, 'run `make messages`: the order is not that of the sources'


def test_every_message_is_translated_and_none_is_fuzzy(catalogue):
    assert len(catalogue) > 300
    assert [message.id for message in catalogue if not all(map(str.strip, forms(message.string)))] == []
    assert [message.id for message in catalogue if message.fuzzy] == []


def test_placeholders_are_those_of_the_english(catalogue):
    wrong = [
        message.id
        for message in catalogue
        if any(placeholders(form) != placeholders(forms(message.id)[-1]) for form in forms(message.string))
    ]
    assert wrong == []


def test_nothing_is_left_in_english_but_what_operators_say_so(catalogue):
    assert {message.id for message in catalogue if message.id == message.string} == SAME_IN_ENGLISH


def test_the_header_says_what_this_is_and_names_nobody(catalogue):
    text = (commands.ROOT / CATALOGUE).read_text()
    header = text.partition('\n\n')[0]
    assert '"Project-Id-Version: netbox-delinquency\\n"' in header
    assert '"Language: pt_BR\\n"' in header
    assert '"Plural-Forms: nplurals=2; plural=(n > 1);\\n"' in header
    assert not re.search(r'fuzzy|@|PACKAGE|FULL NAME|FIRST AUTHOR', header)


# NetBox itself knows no `pt-br`, only `pt`: that is what a browser set to Brazilian Portuguese is given there.
@pytest.mark.parametrize('language', ['pt', 'pt-br'])
def test_each_message_is_shown_as_translated(catalogue, language):
    """NetBox's catalogue goes before a plugin's: where its word for the same English is not ours, give it a context."""
    with translation.override(language):
        shown = {
            message.id: translation.pgettext(message.context, message.id)
            if message.context
            else translation.gettext(message.id)
            for message in catalogue
            if isinstance(message.id, str)
        }
    other = {message.id for message in catalogue if shown.get(message.id, message.string) != message.string}
    assert other == set()


@pytest.mark.parametrize('language', ['pt', 'pt-br'])
def test_models_fields_and_choices_are_named_in_portuguese(language):
    with translation.override(language):
        assert str(AccessLine._meta.verbose_name) == 'linha de acesso'
        assert str(Contract._meta.verbose_name_plural) == 'contratos'
        assert str(AccessLine._meta.get_field('intended_mode').verbose_name) == 'estado pretendido'
        assert AccessLine(intended_mode=AccessModeChoices.THROTTLED).get_intended_mode_display() == (
            'Velocidade reduzida'
        )
    with translation.override('en'):
        assert str(AccessLine._meta.verbose_name) == 'access line'


class BrazilianPagesTestCase(TestCase):
    def read(self, path: str, accepted: str) -> str:
        # A request leaves its language behind in the thread.
        with translation.override('en'):
            response = self.client.get(path, headers={'Accept-Language': accepted})
        assert response.status_code == 200
        return response.text

    @sees_everything
    def test_a_list_is_in_portuguese_for_a_brazilian_browser_and_in_english_for_an_english_one(self):
        make_line(intended_mode=AccessModeChoices.BLOCKED)
        path = reverse('plugins:netbox_delinquency:accessline_list')
        page = self.read(path, 'pt-BR,pt;q=0.9,en;q=0.8')
        texts = ('Inadimplência', 'Linhas de Acesso', 'Assinante', 'Estado pretendido', 'Bloqueado', 'Divergência')
        assert [text for text in texts if text not in page] == []
        assert 'Intended state' not in page
        assert 'Intended state' in self.read(path, 'en-US')

    @sees_everything
    def test_a_detail_page_is_in_portuguese(self):
        page = self.read(make_line().get_absolute_url(), 'pt-BR')
        texts = ('Linhas De Acesso', 'Plano de serviço', 'Identificação na rede', 'Pretendido', 'Observado em')
        assert [text for text in texts if text not in page] == []
        assert 'Identity on the wire' not in page
