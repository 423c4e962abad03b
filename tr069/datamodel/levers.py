"""The levers both data models lay down (TR-098 Amendment 2, TR-181 Issue 2), as facts like a profile's."""

from __future__ import annotations

from tr069.datamodel.profiles import Direction, Kind, LeverFact, Status, Unit
from tr069.datamodel.tree import TR098, TR181

_WAN = 'InternetGatewayDevice.WANDevice.*.WANConnectionDevice.*'
_QUEUE = 'InternetGatewayDevice.QueueManagement'


def _fact(kind: Kind, direction: Direction, path: str, unit: Unit, note: str = '', *, enable: str = '') -> LeverFact:
    return LeverFact(
        kind=kind, direction=direction, path=path, unit=unit, status=Status.STANDARD, note=note, enable=enable
    )


_EGRESS = 'shapes the egress of the WAN, so upload only'
_SIDE = 'the side depends on the interface it is bound to'
_HTTP = 'redirects plain HTTP only'

STANDARD: dict[str, tuple[LeverFact, ...]] = {
    TR098: (
        _fact(Kind.SHAPING, Direction.UP, f'{_WAN}.WANPPPConnection.*.ShapingRate', Unit.BPS, _EGRESS),
        _fact(Kind.SHAPING, Direction.UP, f'{_WAN}.WANIPConnection.*.ShapingRate', Unit.BPS, _EGRESS),
        _fact(
            Kind.QUEUE, Direction.NONE, f'{_QUEUE}.Queue.*.ShapingRate', Unit.BPS, _SIDE, enable=f'{_QUEUE}.Enable'
        ),
        _fact(
            Kind.POLICER, Direction.NONE, f'{_QUEUE}.Policer.*.CommittedRate', Unit.BPS, 'needs a classification',
            enable=f'{_QUEUE}.Enable',
        ),
        _fact(
            Kind.CAPTIVE_PORTAL, Direction.NONE, f'{TR098}.CaptivePortal.CaptivePortalURL', Unit.TEXT, _HTTP,
            enable=f'{TR098}.CaptivePortal.Enable',
        ),
        _fact(Kind.FIREWALL, Direction.NONE, f'{TR098}.Firewall.Config', Unit.TEXT, 'must spare ACS and DNS'),
        _fact(
            Kind.DNS, Direction.NONE, f'{TR098}.LANDevice.*.LANHostConfigManagement.DNSServers', Unit.TEXT,
            'DNS over HTTPS evades it; takes effect at the next lease',
        ),
        _fact(
            Kind.LAN_OFF, Direction.NONE, f'{TR098}.LANDevice.*.LANEthernetInterfaceConfig.*.Enable', Unit.SWITCH,
            'blocks paying from home',
        ),
        _fact(Kind.WIFI_OFF, Direction.NONE, f'{TR098}.LANDevice.*.WLANConfiguration.*.Enable', Unit.SWITCH),
        _fact(Kind.WAN_OFF, Direction.NONE, f'{_WAN}.WANPPPConnection.*.Enable', Unit.SWITCH),
        _fact(Kind.WAN_OFF, Direction.NONE, f'{_WAN}.WANIPConnection.*.Enable', Unit.SWITCH),
    ),
    TR181: (
        _fact(
            Kind.SHAPING, Direction.NONE, 'Device.QoS.Shaper.*.ShapingRate', Unit.BPS,
            'shapes the egress of its Interface', enable='Device.QoS.Shaper.*.Enable',
        ),
        _fact(
            Kind.QUEUE, Direction.NONE, 'Device.QoS.Queue.*.ShapingRate', Unit.BPS, _SIDE,
            enable='Device.QoS.Queue.*.Enable',
        ),
        _fact(
            Kind.POLICER, Direction.NONE, 'Device.QoS.Policer.*.CommittedRate', Unit.BPS, 'needs a classification',
            enable='Device.QoS.Policer.*.Enable',
        ),
        _fact(
            Kind.CAPTIVE_PORTAL, Direction.NONE, 'Device.CaptivePortal.URL', Unit.TEXT, _HTTP,
            enable='Device.CaptivePortal.Enable',
        ),
        _fact(
            Kind.FIREWALL, Direction.NONE, 'Device.Firewall.Chain.*.Rule.*.Enable', Unit.SWITCH,
            'must spare ACS and DNS; an ExpiryDate undoes it',
        ),
        _fact(
            Kind.DNS, Direction.NONE, 'Device.DHCPv4.Server.Pool.*.DNSServers', Unit.TEXT,
            'DNS over HTTPS evades it; takes effect at the next lease',
        ),
        _fact(
            Kind.LAN_OFF, Direction.NONE, 'Device.Ethernet.Interface.*.Enable', Unit.SWITCH,
            'blocks paying from home',
        ),
        _fact(Kind.WIFI_OFF, Direction.NONE, 'Device.WiFi.SSID.*.Enable', Unit.SWITCH),
        _fact(Kind.WAN_OFF, Direction.NONE, 'Device.PPP.Interface.*.Enable', Unit.SWITCH),
        _fact(Kind.WAN_OFF, Direction.NONE, 'Device.IP.Interface.*.Enable', Unit.SWITCH),
    ),
}  # fmt: skip
