"""An HTTP server of the lab: `python lab_http.py PORT "the page" [http://notice/]`. IPv4 and IPv6.

With a third argument every other address is redirected there, as a notice page is reached from anywhere.
"""

from __future__ import annotations

import http.server
import socket
import sys
from urllib.parse import urlsplit


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    text = ''
    home = ''

    def do_GET(self) -> None:
        if self.home and self.path != urlsplit(self.home).path:
            self.send_response(302)
            self.send_header('Location', self.home_for_client())
            body = b''
        else:
            self.send_response(200)
            self.send_header('Content-Type', 'text/plain; charset=utf-8')
            body = self.text.encode()
        # RFC 9111: a redirect kept by a browser would outlive the wall.
        self.send_header('Cache-Control', 'no-store')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def home_for_client(self) -> str:
        """`home` at the address the client reached us by, which speaks its own family of IP."""
        host = str(self.connection.getsockname()[0]).removeprefix('::ffff:')
        home = urlsplit(self.home)
        netloc = f'[{host}]' if ':' in host else host
        return home._replace(netloc=f'{netloc}:{home.port}' if home.port else netloc).geturl()

    def log_message(self, *_: object) -> None:
        """The lab has nobody to read a log."""


def main() -> None:
    Page.text = sys.argv[2]
    Page.home = sys.argv[3] if len(sys.argv) > 3 else ''
    Server(('::', int(sys.argv[1])), Page).serve_forever()


if __name__ == '__main__':
    main()
