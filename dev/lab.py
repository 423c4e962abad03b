"""A lab in network namespaces: an "internet", a Linux BRAS with a real sshd, and three homes behind it.

    root namespace ──management──► bras ◄──veth-home1..3──► home1..3
                                    └──uplink──► internet (iperf3, HTTP)

Needs root. Two labs may run at once: inside, each has the same addresses in namespaces of its own; outside there is
one management interface with a random address. All of it ends with the process that made it, however that ends.
"""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from dev.lab_namespace import LabError, Namespace, link, run
from nornir_tasks.drivers.linux import tc

__all__ = ('Home', 'Lab', 'LabError')

PROGRAMS = ('ip', 'tc', 'nft', 'iperf3', 'sshd', 'ssh-keygen', 'setpriv', 'unshare', 'nsenter')
PACKAGES = 'iproute2 nftables iperf3 openssh-server util-linux'
# RFC 2544's benchmark range and a ULA: neither is met on a real network.
MANAGEMENT = ipaddress.ip_network('198.19.0.0/16')
PORTAL_PORT = 8080
NOTICE = 'Please contact us to use this access again.\n'
FETCH = """
import json, sys, urllib.error, urllib.request
try:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answer = opener.open(sys.argv[1], timeout=float(sys.argv[2]))
    print(json.dumps([answer.status, answer.read().decode(), answer.url]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode(), error.url]))
except OSError:
    print(json.dumps([0, '', '']))
"""
SSHD = """
Port 22
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
PidFile none
"""
# In a mount namespace of sshd's own: its run directory, an empty home (start-up files cost 200 ms a command) and an
# unlocked root account with a plain shell, whatever the machine has.
SSHD_START = """
mount -t tmpfs tmpfs /run && mkdir -m 0755 /run/sshd
mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/shadow /etc/shadow
exec {sshd} -D -f {folder}/sshd_config
"""


@dataclass(frozen=True, slots=True)
class Home:
    """A subscriber's home. `interface` is its access interface on the BRAS; rates are the contract's, in kbit/s."""

    name: str
    interface: str
    ipv4: str
    ipv6: str
    ipv6_prefix: str
    down_kbps: int
    up_kbps: int


class Lab:
    """`with Lab() as lab:`; or `close` it, any number of times."""

    def __init__(self, down_kbps: int = 40_000, up_kbps: int = 20_000) -> None:
        """Raises `LabError` with the reason where it cannot be built; then nothing is left of it."""
        self.homes = tuple(
            Home(
                f'home{number}', f'veth-home{number}', f'198.18.{number}.2', f'fd18:198:0:{number}::2',
                f'fd18:198:0:{number}::/64', down_kbps, up_kbps,
            )
            for number in (1, 2, 3)
        )  # fmt: skip
        self.bras_address = ''
        self.bras_port = 22
        self.bras_user = 'root'
        self.bras_host_key = ''  # as it is pinned: "ssh-ed25519 AAAA…"
        self.internet_url = 'http://198.18.0.2/'
        self.internet_url_ipv6 = 'http://[fd18:198::2]/'
        self.notice = NOTICE
        self.point_parameters: dict[str, Any] = {
            'access_interfaces': ['veth-home*'],
            'portal_ipv4': '198.18.0.1',
            'portal_ipv6': 'fd18:198::1',
            'portal_port': PORTAL_PORT,
        }
        self._namespaces: dict[str, Namespace] = {}
        self._management = f'lab{secrets.token_hex(4)}'
        self._folder = Path(tempfile.mkdtemp(prefix='access-lab-'))
        self.key_file = self._folder / 'key'
        # Removes the folder when its input ends: when we close it, or die.
        self._janitor = subprocess.Popen(
            ['sh', '-c', 'read _; exec rm -rf -- "$0"', str(self._folder)],
            stdin=subprocess.PIPE, start_new_session=True, cwd='/',
        )  # fmt: skip
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def available() -> str:
        """Empty, or the reason why no lab can run here."""
        if os.geteuid() != 0:
            return 'the lab needs root (network namespaces)'
        path = os.pathsep.join((*os.get_exec_path(), '/usr/sbin', '/sbin'))
        missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
        if missing:
            return f'{", ".join(missing)} missing: apt-get install {PACKAGES}'
        try:
            probe = Namespace('probe')
            try:
                probe.ip('link add name probe type ifb')
                probe.run(['tc', 'qdisc', 'add', 'dev', 'probe', 'root', 'htb'])
                probe.run(['nft', 'add', 'table', 'inet', 'probe'])
            finally:
                probe.close()
        except LabError as error:
            return f'the kernel or container does not let us: {error}'
        return ''

    def measure(self, home: Home, direction: Literal['down', 'up'] = 'down', seconds: int = 2) -> float:
        """Mbit/s by iperf3 between a home and the internet, as received; 0.0 where nothing passes."""
        port = str(5201 + self.homes.index(home))
        # A server for this one test: one that was cut off in the middle would keep the next waiting.
        server = self._namespaces['internet'].start(
            ['iperf3', '-s', '-1', '-p', port, '--forceflush'], stdout=subprocess.PIPE
        )
        assert server.stdout is not None
        try:
            while 'listening' not in (line := server.stdout.readline()):
                if not line:
                    raise LabError('iperf3 could not serve in the internet namespace')
            command = ['iperf3', '-c', '198.18.0.2', '-p', port, '-J', '-t', str(seconds), '--connect-timeout', '1500']
            if direction == 'down':
                command.append('-R')
            client = self._namespaces[home.name].start(command, stdout=subprocess.PIPE)
            try:
                output, _ = client.communicate(timeout=seconds + 10)
            except subprocess.TimeoutExpired:
                return 0.0
            finally:
                self._end(home.name, client)
        finally:
            self._end('internet', server)
        report = json.loads(output)
        return 0.0 if 'error' in report else float(report['end']['sum_received']['bits_per_second']) / 1e6

    def fetch(self, home: Home, url: str, timeout: float = 2.0) -> tuple[int, str, str]:
        """(HTTP status, body, final URL) of a GET from a home, redirects followed; (0, '', '') for no answer."""
        program = [sys.executable, '-I', '-c', FETCH, url, str(timeout)]
        status, body, final = json.loads(self._namespaces[home.name].run(program, timeout=3 * timeout + 10))
        return int(status), str(body), str(final)

    def reaches_notice(self, home: Home, url: str) -> bool:
        """True where a GET of `url` from a home ends on the notice page."""
        status, body, final = self.fetch(home, url)
        return status == 200 and body == self.notice and urlsplit(final).path == '/notice'

    def on_bras(self, command: list[str], stdin: str = '') -> str:
        """Run on the BRAS directly, beside sshd: how a test looks at the truth, or makes trouble."""
        return self._namespaces['bras'].run(command, stdin)

    def start_at(self, home: Home, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """A process in a home; it ends with the lab at the latest."""
        return self._namespaces[home.name].start(command, **options)

    def close(self) -> None:
        for namespace in self._namespaces.values():
            namespace.close()
        self._namespaces.clear()
        if self._janitor.stdin is not None and not self._janitor.stdin.closed:
            subprocess.run(['ip', 'link', 'del', self._management], capture_output=True, check=False)
            self._janitor.stdin.close()
            self._janitor.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- building ----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        if reason := self.available():
            raise LabError(reason)
        for name in ('internet', 'bras', *(home.name for home in self.homes)):
            self._namespaces[name] = Namespace(name)
        self._wire_uplink()
        for home in self.homes:
            self._wire_home(home)
        self._wire_management()
        self._serve_http()
        self._start_sshd()

    def _wire_uplink(self) -> None:
        bras, internet = self._namespaces['bras'], self._namespaces['internet']
        bras.set(net__ipv4__ip_forward='1', net__ipv6__conf__all__forwarding='1')
        link(bras, 'uplink', internet, 'core')
        for namespace, interface, number in ((bras, 'uplink', 1), (internet, 'core', 2)):
            namespace.ip(f'addr add 198.18.0.{number}/30 dev {interface}')
            namespace.ip(f'addr add fd18:198::{number}/64 dev {interface} nodad')
        internet.ip('route add default via 198.18.0.1')
        internet.ip('-6 route add default via fd18:198::1')

    def _wire_home(self, home: Home) -> None:
        bras, inside = self._namespaces['bras'], self._namespaces[home.name]
        gateway4, gateway6 = home.ipv4[:-1] + '1', home.ipv6[:-1] + '1'
        link(bras, home.interface, inside, 'wan')
        bras.ip(f'addr add {gateway4} peer {home.ipv4}/32 dev {home.interface}')
        inside.ip(f'addr add {home.ipv4} peer {gateway4}/32 dev wan')
        bras.ip(f'addr add {gateway6}/64 dev {home.interface} nodad')
        inside.ip(f'addr add {home.ipv6}/64 dev wan nodad')
        inside.ip(f'route add default via {gateway4}')
        inside.ip(f'-6 route add default via {gateway6}')
        device = tc.upload_device(home.interface)
        bras.run(['ip', '-batch', '-'], '\n'.join(tc.device_lines(device)))
        lines = tc.download_lines(home.interface, None, tc.shaped_to(home.down_kbps, None))
        lines += tc.upload_lines(home.interface, device, None, tc.shaped_to(home.up_kbps, None))
        bras.run(['tc', '-batch', '-'], '\n'.join(lines))

    def _wire_management(self) -> None:
        used = {
            ipaddress.ip_address(address['local'])
            for interface in json.loads(run(['ip', '-j', '-4', 'address']))
            for address in interface['addr_info']
        }
        while True:
            first = MANAGEMENT.network_address + 4 * secrets.randbelow(MANAGEMENT.num_addresses // 4)
            if first + 1 not in used:
                break
        self.bras_address = str(first + 2)
        run(['ip', 'link', 'add', 'name', self._management, 'type', 'veth', 'peer', 'name', 'management',
             'netns', str(self._namespaces['bras'].pid)])  # fmt: skip
        run(['ip', 'address', 'add', f'{first + 1}/30', 'dev', self._management])
        run(['ip', 'link', 'set', 'dev', self._management, 'up'])
        self._namespaces['bras'].ip(f'addr add {self.bras_address}/30 dev management')
        self._namespaces['bras'].ip('link set dev management up')

    def _serve_http(self) -> None:
        server = [sys.executable, '-I', str(Path(__file__).with_name('lab_http.py'))]
        self._namespaces['internet'].start([*server, '80', 'the internet\n'])
        notice = f'http://198.18.0.1:{PORTAL_PORT}/notice'
        self._namespaces['bras'].start([*server, str(PORTAL_PORT), NOTICE, notice])
        for home in self.homes[:1]:
            for url in (self.internet_url, notice):
                self._wait(lambda home=home, url=url: self.fetch(home, url)[0] == 200, f'{url} from {home.name}')

    def _start_sshd(self) -> None:
        for name in ('key', 'host_key'):
            run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', str(self._folder / name)])
        shutil.copy(self._folder / 'key.pub', self._folder / 'authorized_keys')
        self.bras_host_key = (self._folder / 'host_key.pub').read_text().strip()
        others = [line for line in Path('/etc/passwd').read_text().splitlines() if not line.startswith('root:')]
        (self._folder / 'passwd').write_text('\n'.join(['root:x:0:0:root:/run:/bin/sh', *others, '']))
        (self._folder / 'shadow').write_text('root:*:19000:0:99999:7:::\n')
        (self._folder / 'sshd_config').write_text(SSHD.format(address=self.bras_address, folder=self._folder))
        sshd = shutil.which('sshd', path='/usr/sbin:/sbin:/usr/local/sbin') or 'sshd'
        # A process namespace too: the sessions die with sshd, which dies with us.
        self._namespaces['bras'].start(
            ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--', 'sh', '-ec',
             SSHD_START.format(folder=self._folder, sshd=sshd)]
        )  # fmt: skip
        self._wait(self._greets, 'sshd on the BRAS')

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.bras_address, self.bras_port), 1) as connection:
                return connection.recv(4) == b'SSH-'
        except OSError:
            return False

    @staticmethod
    def _wait(is_there: Any, what: str, seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not is_there():
            if time.monotonic() > deadline:
                raise LabError(f'{what} did not answer in {seconds:g} s')
            time.sleep(0.02)

    def _end(self, name: str, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._namespaces[name].processes.remove(process)
