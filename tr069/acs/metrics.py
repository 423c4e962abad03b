"""Prometheus metrics of one ACS process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """Its own registry: two servers in one process (as in the tests) do not share counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.informs = self._counter('informs', 'Informs accepted')
        self.sessions_ended = self._counter('sessions_ended', 'Sessions ended, by how', ('how',))
        self.refusals = self._counter('refusals', 'Requests refused, by why', ('why',))
        self.identity_conflicts = self._counter('identity_conflicts', 'Devices found to be two with one identity')
        self.cpe_faults = self._counter('cpe_faults', 'Faults from CPEs, by code', ('code',))
        self.connection_requests = self._counter('connection_requests', 'Connection requests, by outcome', ('outcome',))
        self.sessions_open = Gauge('tr069_sessions_open', 'Sessions open now', registry=self.registry)
        self.connections_open = Gauge('tr069_connections_open', 'TCP connections open now', registry=self.registry)
        self.devices = Gauge('tr069_devices', 'Devices known', registry=self.registry)
        self.states = Gauge(
            'tr069_desired', 'Devices by how far their profile has got', ('state',), registry=self.registry
        )
        self.quarantined = Gauge('tr069_quarantined_models', 'Models in quarantine', registry=self.registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f'tr069_{name}', text, labels, registry=self.registry)

    def render(self) -> bytes:
        return generate_latest(self.registry)
