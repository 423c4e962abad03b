"""What `pyproject.toml` cannot say: where the migrations live, and that message catalogues are compiled."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PACKAGES = ('netbox_delinquency', 'nornir_tasks', 'tr069')


class BuildWithCatalogues(build_py):
    """Compile every `.po` beside itself before the package is collected, so no binary is kept in the tree."""

    def run(self):
        from babel.messages.mofile import write_mo
        from babel.messages.pofile import read_po

        for source in ROOT.glob('netbox_delinquency/locale/*/LC_MESSAGES/*.po'):
            with source.open('rb') as po, source.with_suffix('.mo').open('wb') as mo:
                write_mo(mo, read_po(po))
        super().run()


setup(
    # `migrations/` at the top of the tree *is* the package `netbox_delinquency.migrations`.
    packages=[
        *find_packages(include=[*PACKAGES, *(f'{name}.*' for name in PACKAGES)]),
        'netbox_delinquency.migrations',
    ],
    package_dir={'netbox_delinquency.migrations': 'migrations'},
    package_data={
        'netbox_delinquency': [
            'py.typed',
            'templates/**/*',
            'locale/**/*.mo',
            'locale/**/*.po',
            'policy/presets/*.yaml',
            'policy/sql/*.sql',
            'static/**/*',
        ],
        'nornir_tasks': ['py.typed', 'radius/dictionary', 'radius/dialects.yaml'],
        'tr069': ['py.typed', 'datamodel/profiles/*.yaml'],
    },
    cmdclass={'build_py': BuildWithCatalogues},
)
