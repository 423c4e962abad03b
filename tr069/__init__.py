"""CWMP (TR-069): an embedded ACS, a GenieACS client, and the rules that keep both safe."""

__version__ = '0.1.0'
