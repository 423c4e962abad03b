"""GenieACS 1.2 as an ACS: its northbound interface, and `AcsClient` on top of it."""

from tr069.genieacs.client import GenieAcsClient
from tr069.genieacs.nbi import Nbi

__all__ = ['GenieAcsClient', 'Nbi']
