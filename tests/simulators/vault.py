"""Vault's key/value version 2 over HTTP, with tokens and policies as far as reading goes."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Vault:
    """`secrets` are by mount and path; `tokens` may read everything."""

    tokens: set[str] = field(default_factory=set)
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    sealed: bool = False
    asked: list[str] = field(default_factory=list)
    url: str = ''

    def answer(self, token: str, path: str) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        mount, _, rest = path.removeprefix('/v1/').partition('/data/')
        if self.sealed:
            return 503, {'errors': ['Vault is sealed']}
        if token not in self.tokens:
            return 403, {'errors': ['permission denied']}
        fields = self.secrets.get(f'{mount}/{rest}')
        if fields is None:
            return 404, {'errors': []}
        return 200, {'data': {'data': fields, 'metadata': {'version': 1, 'deletion_time': '', 'destroyed': False}}}


@contextlib.contextmanager
def vault_server(**values: Any) -> Iterator[Vault]:
    vault = Vault(**values)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = vault.answer(self.headers.get('X-Vault-Token', ''), self.path)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    vault.url = f'http://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield vault
    finally:
        server.shutdown()
        server.server_close()
