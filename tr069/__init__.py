"""CWMP (TR-069): an embedded ACS, a GenieACS client, and the rules that keep both safe."""

from importlib.metadata import version

__version__ = version('netbox-delinquency')
