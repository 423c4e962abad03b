"""Parameter trees of simulated CPEs, shaped after real ones: `path → (value, type, writable)`."""

from __future__ import annotations

Node = tuple[str, str, bool]
Tree = dict[str, Node]

STRING, BOOLEAN, UINT, INT = 'xsd:string', 'xsd:boolean', 'xsd:unsignedInt', 'xsd:int'
IGD = 'InternetGatewayDevice'
WAN98 = f'{IGD}.WANDevice.1.WANConnectionDevice'
INTERNET_098 = f'{WAN98}.2.WANPPPConnection.1'
MANAGEMENT_098 = f'{WAN98}.1.WANIPConnection.1'
INTERNET_181 = 'Device.PPP.Interface.1'
MANAGEMENT_181 = 'Device.IP.Interface.2'


def _management_server(root: str) -> Tree:
    base = f'{root}.ManagementServer'
    return {
        f'{base}.URL': ('http://acs/', STRING, True),
        f'{base}.PeriodicInformEnable': ('1', BOOLEAN, True),
        f'{base}.PeriodicInformInterval': ('3600', UINT, True),
        f'{base}.ConnectionRequestURL': ('', STRING, False),
        f'{base}.ConnectionRequestUsername': ('', STRING, True),
        f'{base}.ConnectionRequestPassword': ('', STRING, True),
        f'{base}.UDPConnectionRequestAddress': ('', STRING, False),
        f'{base}.ParameterKey': ('', STRING, False),
    }


def tr098(*, shared_wan: bool = False) -> Tree:
    """A two-WAN router. With `shared_wan`, one PPP connection carries both the customer and management."""
    tree: Tree = {
        f'{IGD}.DeviceSummary': ('InternetGatewayDevice:1.4[]', STRING, False),
        f'{IGD}.DeviceInfo.Manufacturer': ('Acme', STRING, False),
        f'{IGD}.DeviceInfo.HardwareVersion': ('H1', STRING, False),
        f'{IGD}.DeviceInfo.SoftwareVersion': ('S1', STRING, False),
        f'{IGD}.DeviceInfo.ProvisioningCode': ('', STRING, True),
        f'{IGD}.Layer3Forwarding.DefaultConnectionService': (INTERNET_098, STRING, True),
        f'{IGD}.WANDevice.1.WANCommonInterfaceConfig.EnabledForInternet': ('1', BOOLEAN, True),
        f'{INTERNET_098}.Enable': ('1', BOOLEAN, True),
        f'{INTERNET_098}.ConnectionStatus': ('Connected', STRING, False),
        f'{INTERNET_098}.Name': ('TR069_INTERNET' if shared_wan else 'INTERNET', STRING, True),
        f'{INTERNET_098}.Username': ('user', STRING, True),
        f'{INTERNET_098}.ExternalIPAddress': ('203.0.113.7', STRING, False),
        f'{INTERNET_098}.ShapingRate': ('-1', INT, True),
        f'{IGD}.QueueManagement.Enable': ('0', BOOLEAN, True),
        f'{IGD}.QueueManagement.Queue.1.QueueInterface': ('WAN', STRING, True),
        f'{IGD}.QueueManagement.Queue.1.ShapingRate': ('-1', INT, True),
        f'{IGD}.QueueManagement.Queue.2.QueueInterface': (f'{IGD}.LANDevice.1', STRING, True),
        f'{IGD}.QueueManagement.Queue.2.ShapingRate': ('-1', INT, True),
        f'{IGD}.CaptivePortal.Enable': ('0', BOOLEAN, True),
        f'{IGD}.CaptivePortal.CaptivePortalURL': ('', STRING, True),
        f'{IGD}.LANDevice.1.LANHostConfigManagement.DNSServers': ('192.168.1.1', STRING, True),
        f'{IGD}.LANDevice.1.LANEthernetInterfaceConfig.1.Enable': ('1', BOOLEAN, True),
        f'{IGD}.LANDevice.1.WLANConfiguration.1.Enable': ('1', BOOLEAN, True),
        f'{IGD}.LANDevice.1.WLANConfiguration.1.SSID': ('Casa & Família', STRING, True),
        f'{IGD}.LANDevice.1.WLANConfiguration.1.KeyPassphrase': ('very-private', STRING, True),
        f'{IGD}.LANDevice.1.Hosts.Host.1.HostName': ('ana-phone', STRING, False),
    }
    if not shared_wan:
        tree |= {
            f'{MANAGEMENT_098}.Enable': ('1', BOOLEAN, True),
            f'{MANAGEMENT_098}.ConnectionStatus': ('Connected', STRING, False),
            f'{MANAGEMENT_098}.Name': ('TR069', STRING, True),
            f'{MANAGEMENT_098}.ExternalIPAddress': ('10.64.0.7', STRING, False),
            f'{MANAGEMENT_098}.ShapingRate': ('-1', INT, True),
        }
    return tree | _management_server(IGD)


def tr181(*, shared_wan: bool = False) -> Tree:
    """The same router in TR-181, with its interface stack."""
    tree: Tree = {
        'Device.DeviceInfo.Manufacturer': ('Acme', STRING, False),
        'Device.DeviceInfo.HardwareVersion': ('H2', STRING, False),
        'Device.DeviceInfo.SoftwareVersion': ('S2', STRING, False),
        'Device.DeviceInfo.ProvisioningCode': ('', STRING, True),
        'Device.Ethernet.Interface.1.Enable': ('1', BOOLEAN, True),
        'Device.Ethernet.Interface.1.Upstream': ('1', BOOLEAN, False),
        'Device.Ethernet.Interface.2.Enable': ('1', BOOLEAN, True),
        'Device.Ethernet.Interface.2.Upstream': ('0', BOOLEAN, False),
        'Device.Ethernet.Link.1.Enable': ('1', BOOLEAN, True),
        'Device.Ethernet.Link.1.LowerLayers': ('Device.Ethernet.Interface.1', STRING, True),
        'Device.PPP.Interface.1.Enable': ('1', BOOLEAN, True),
        'Device.PPP.Interface.1.LowerLayers': ('Device.Ethernet.Link.1', STRING, True),
        'Device.IP.Interface.1.Enable': ('1', BOOLEAN, True),
        'Device.IP.Interface.1.Name': ('ppp0', STRING, False),
        'Device.IP.Interface.1.LowerLayers': ('Device.PPP.Interface.1', STRING, True),
        'Device.IP.Interface.1.IPv4Address.1.IPAddress': ('203.0.113.8', STRING, False),
        'Device.Routing.Router.1.IPv4Forwarding.1.DestIPAddress': ('0.0.0.0', STRING, True),
        'Device.Routing.Router.1.IPv4Forwarding.1.Interface': ('Device.IP.Interface.1', STRING, True),
        'Device.QoS.Shaper.1.Enable': ('0', BOOLEAN, True),
        'Device.QoS.Shaper.1.Interface': ('Device.Ethernet.Interface.1', STRING, True),
        'Device.QoS.Shaper.1.ShapingRate': ('-1', INT, True),
        'Device.QoS.Shaper.2.Enable': ('0', BOOLEAN, True),
        'Device.QoS.Shaper.2.Interface': ('Device.Ethernet.Interface.2', STRING, True),
        'Device.QoS.Shaper.2.ShapingRate': ('-1', INT, True),
        'Device.DHCPv4.Server.Pool.1.DNSServers': ('192.168.0.1', STRING, True),
        'Device.WiFi.SSID.1.Enable': ('1', BOOLEAN, True),
        'Device.WiFi.SSID.1.SSID': ('Casa', STRING, True),
    }
    if not shared_wan:
        tree |= {
            'Device.Ethernet.VLANTermination.1.Enable': ('1', BOOLEAN, True),
            'Device.Ethernet.VLANTermination.1.LowerLayers': ('Device.Ethernet.Link.2', STRING, True),
            'Device.Ethernet.Link.2.Enable': ('1', BOOLEAN, True),
            'Device.Ethernet.Link.2.LowerLayers': ('Device.Ethernet.Interface.1', STRING, True),
            'Device.IP.Interface.2.Enable': ('1', BOOLEAN, True),
            'Device.IP.Interface.2.Name': ('mgmt', STRING, False),
            'Device.IP.Interface.2.LowerLayers': ('Device.Ethernet.VLANTermination.1', STRING, True),
            'Device.IP.Interface.2.IPv4Address.1.IPAddress': ('10.64.0.8', STRING, False),
        }
    return tree | _management_server('Device')
