"""The embedded ACS put together: store, CPE port, northbound port, connection requests."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from tr069.acs.cpe.auth import Authenticator, Credentials, DerivedCredentials, HtdigestCredentials, derive_password
from tr069.acs.cpe.connection_request import Caller, UdpSocket
from tr069.acs.cpe.context import SessionContext
from tr069.acs.cpe.server import CpeServer
from tr069.acs.metrics import Metrics
from tr069.acs.northbound.server import NorthboundServer
from tr069.acs.settings import AcsSettings, AuthMode, CpeSide, SettingsError
from tr069.acs.store.database import make_engine
from tr069.acs.store.store import Store
from tr069.datamodel.profiles import load_directory

logger = logging.getLogger(__name__)

_HOUSEKEEPING_S = 30.0


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Raises `SettingsError` where the files cannot be used; `None` without a certificate."""
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f'the TLS certificate {certificate} cannot be used: {error}') from error
    return context


def tune_garbage_collector() -> None:
    """For a process that is an ACS and nothing else: what start-up made stays, and is not looked through again.

    Hundreds of thousands of records live as long as the process; the default would walk them every few sessions.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


class Acs:
    """`await start()`, then `cpe_port` and `northbound_port` are listening; `await stop()` ends it cleanly."""

    def __init__(self, settings: AcsSettings, *, clock: Callable[[], float] = time.time) -> None:
        """Raises `SettingsError` where a secret is missing, `ProfileError` for a bad device profile."""
        self.settings = settings
        self._clock = clock
        self._secret = settings.read_secret(settings.secret).encode()
        if len(self._secret) < 16:
            raise SettingsError(f'the secret {settings.secret} has under 16 characters: every password follows from it')
        self.profiles = load_directory(settings.profiles_directory)
        self.metrics = Metrics()
        self.store = Store(make_engine(self._database_url()))
        self.udp = UdpSocket() if settings.connection_requests.udp_port is not None else None
        self.caller = Caller(settings.connection_requests, self.connection_request_login, self.metrics, self.udp)
        context = SessionContext(
            self.store,
            settings.desired,
            self.connection_request_login if settings.connection_requests.provision else None,
            self._verify_soon if settings.desired.connection_request_to_verify else None,
            self.profiles,
            clock,
        )
        self.cpe = CpeServer(
            settings.cpe, context, self._authenticator(settings.cpe), self.profiles, self.metrics, clock=clock
        )
        token = settings.read_secret(settings.northbound.token_secret)
        self.northbound = NorthboundServer(
            settings.northbound, token, self.store, self.caller, self.metrics, context.identities, clock=clock
        )
        self.cpe_port = self.northbound_port = 0
        self.udp_port: int | None = None
        self._housekeeper: asyncio.Task[None] | None = None
        self._jobs: set[asyncio.Task[None]] = set()

    def _database_url(self) -> str:
        url = sa.make_url(self.settings.database)
        if self.settings.database_password_secret:
            url = url.set(password=self.settings.read_secret(self.settings.database_password_secret))
        return url.render_as_string(hide_password=False)

    def _authenticator(self, cpe: CpeSide) -> Authenticator | None:
        credentials: Credentials
        if cpe.auth is AuthMode.NONE:
            logger.warning('CPEs are not authenticated: anybody can speak for any device')
            return None
        if cpe.auth is AuthMode.HTDIGEST:
            if cpe.htdigest_file is None or not cpe.htdigest_file.is_file():
                raise SettingsError(f'cpe.htdigest_file {cpe.htdigest_file} is not a file')
            credentials = HtdigestCredentials(cpe.htdigest_file)
        else:
            credentials = DerivedCredentials(self._secret)
        return Authenticator(
            credentials,
            self._secret,
            cpe.realm,
            nonce_lifetime_s=cpe.nonce_lifetime_s,
            # Basic shows the password to the network, so only inside TLS unless it was asked for.
            allow_basic=cpe.tls_certificate is not None or cpe.basic_without_tls,
        )

    def cpe_login(self, device_id: str) -> tuple[str, str]:
        """User name and password with which this CPE must be shipped, in `derived` mode."""
        return device_id, DerivedCredentials(self._secret).password(device_id)

    def connection_request_login(self, device_id: str) -> tuple[str, str]:
        return 'acs', derive_password(self._secret, 'connection request', device_id)

    async def start(self) -> None:
        """Raises `StoreError`, `SettingsError`, or `OSError` where a port cannot be had."""
        await self.store.start()
        side, north, calls = self.settings.cpe, self.settings.northbound, self.settings.connection_requests
        self.cpe_port = await self.cpe.start(tls_context(side.tls_certificate, side.tls_key))
        self.northbound_port = await self.northbound.start(tls_context(north.tls_certificate, north.tls_key))
        if self.udp is not None and calls.udp_port is not None:
            self.udp_port = await self.udp.start(calls.udp_host, calls.udp_port)
        self._housekeeper = asyncio.create_task(self._keep_house())

    async def stop(self) -> None:
        if self._housekeeper is not None:
            self._housekeeper.cancel()
        await self.northbound.stop()
        await self.caller.stop()
        await self.cpe.stop()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if self.udp is not None:
            self.udp.stop()
        await self.store.close()

    def _verify_soon(self, device_id: str) -> None:
        async def call() -> None:
            device = (await self.store.get_devices([device_id])).get(device_id)
            if device is not None:
                self.caller.call_soon(device, self.settings.desired.verify_delay_s)

        job = asyncio.create_task(call())
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _keep_house(self) -> None:
        while True:
            try:
                await self.northbound.refresh_metrics()
                await self.store.prune(self._clock())
            except sa.exc.SQLAlchemyError:
                logger.exception('housekeeping failed and is tried again')
            await asyncio.sleep(_HOUSEKEEPING_S)
