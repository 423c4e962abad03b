"""FreeRADIUS's SQL database as a connection, and dynamic authorization with the secret of the same credential."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal

from pydantic import Field, ValidationError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from nornir_tasks.connections.radius import DynamicAuthorization
from nornir_tasks.credentials import Credential, credential_for
from nornir_tasks.drivers.base import DriverParameters
from nornir_tasks.errors import ConfigurationError, LoginRefusedError, PointUnreachableError
from nornir_tasks.points import Point, point_of

DRIVERS = {'postgresql': 'postgresql+psycopg', 'mysql': 'mysql+pymysql'}
REFUSED = {'28000', '28P01', 1044, 1045}  # SQLSTATE of PostgreSQL, error numbers of MySQL


class DatabaseParameters(DriverParameters):
    """Where the tables are."""

    engine: Literal['postgresql', 'mysql'] = Field('postgresql', description='"mysql" is MariaDB, too')
    database: str = Field('radius', description='Name of the database')


class FreeRADIUSSession:
    """A database, connected to anew for every call, and the sender of dynamic authorization."""

    def __init__(self, engine: Engine, where: str, credential: Credential, name: str, driver: str) -> None:
        self.engine = engine
        self.where = where
        self.encoding = 'utf-8'  # Python's name of what the database keeps text in
        self.escapes = False  # and it may be any bytes
        self.authorization = DynamicAuthorization(credential, name, driver)

    @classmethod
    def connect(
        cls,
        address: str,
        port: int | None,
        credential: Credential,
        database: DatabaseParameters,
        timeout: float,
        name: str = 'of the point',
        driver: str = 'freeradius_sql',
    ) -> FreeRADIUSSession:
        """`name` is the credential's. Raises `PointUnreachableError`, `LoginRefusedError`."""
        password = credential.password.get_secret_value() if credential.password else None
        url = URL.create(
            DRIVERS[database.engine], credential.username or None, password, address, port, database.database
        )
        seconds = max(1, round(timeout))
        limits: dict[str, Any] = {'connect_timeout': seconds}
        if database.engine == 'mysql':
            limits |= {'read_timeout': seconds, 'write_timeout': seconds, 'charset': 'utf8mb4'}
        else:
            limits |= {'options': f'-c statement_timeout={seconds * 1000} -c lock_timeout={seconds * 1000}'}
        # Results are read at once and nothing is kept open between runs, so there is nothing to pool.
        engine = create_engine(
            url, poolclass=NullPool, connect_args=limits, isolation_level='READ COMMITTED', hide_parameters=True
        )
        session = cls(
            engine, f'{database.engine} database "{database.database}" at {address}', credential, name, driver
        )
        if database.engine == 'postgresql':
            event.listen(engine, 'connect', session.take_encoding, insert=True)  # before anything is asked
        with session.errors(), engine.connect():
            pass
        return session

    def take_encoding(self, connection: Any, _: object = None) -> None:
        """PostgreSQL talks in the database's own encoding; one of none (SQL_ASCII) hands out bytes as they are."""
        self.encoding = connection.info.encoding
        if self.encoding == 'ascii':
            self.encoding = 'utf-8'
            from nornir_tasks.connections.bytes_as_text import take_bytes_as_text  # psycopg is an extra

            take_bytes_as_text(connection)
            self.escapes = True

    def holds(self, text: str) -> bool:
        """Whether the database can hold that text; one that it cannot is nobody's there, and cannot be asked for."""
        try:
            text.encode(self.encoding, 'surrogateescape' if self.escapes else 'strict')
        except UnicodeEncodeError:
            return False
        return '\0' not in text

    def errors(self) -> _ErrorMessages:
        """A context in which the database's errors become error messages."""
        return _ErrorMessages(self.where)

    def begin(self) -> AbstractContextManager[Connection]:
        """A transaction: `with session.errors(), session.begin() as connection`."""
        return self.engine.begin()

    def close(self) -> None:
        self.authorization.consoles.close()
        self.engine.dispose()


class _ErrorMessages:
    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, DBAPIError):
            return
        text = ' '.join(str(error.orig).split())
        if _number(error) in REFUSED or 'password authentication failed' in text:
            raise LoginRefusedError(f'{self.where} refused the login of its credential') from None
        what = 'cannot be reached' if isinstance(error, OperationalError) else 'refused what was asked'
        # `from None`: the driver's own traceback carries the connection's arguments.
        raise PointUnreachableError(f'{self.where} {what}: {text}') from None


def _number(error: DBAPIError) -> object:
    original: Any = error.orig
    return getattr(original, 'sqlstate', None) or (original.args[0] if original and original.args else None)


class FreeRADIUSConnection:
    """Nornir connection plugin `netbox_delinquency_freeradius`."""

    def __init__(self) -> None:
        self._session: FreeRADIUSSession | None = None

    def open(self, hostname: str | None, *_: Any, extras: dict[str, Any] | None = None, **_unused: Any) -> None:
        """Raises as `FreeRADIUSSession.connect` and `credential_for` do."""
        point = point_of(hostname, extras)
        self._session = FreeRADIUSSession.connect(
            point.address,
            point.port,
            credential_for(point.credential, host=point.address, driver=point.driver),
            _database(point),
            point.timeout,
            point.credential,
            point.driver,
        )

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    @property
    def connection(self) -> FreeRADIUSSession:
        if self._session is None:
            raise PointUnreachableError('the database connection is not open')
        return self._session


def _database(point: Point) -> DatabaseParameters:
    known = {name: point.parameters[name] for name in DatabaseParameters.model_fields if name in point.parameters}
    try:
        return DatabaseParameters.model_validate(known)
    except ValidationError:
        raise ConfigurationError(f'{point.name}: its parameters "engine" or "database" are wrong') from None
