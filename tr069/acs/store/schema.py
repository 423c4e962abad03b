"""Tables of the embedded ACS: the same for SQLite and PostgreSQL. Times are seconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

device = Table(
    'tr069_device',
    metadata,
    Column('id', String(512), primary_key=True),
    Column('manufacturer', String(128), nullable=False),
    Column('oui', String(128), nullable=False),
    Column('product_class', String(128), nullable=False),
    Column('serial', String(128), nullable=False, index=True),
    Column('root', String(32), nullable=False),
    Column('software_version', String(128), nullable=False),
    Column('hardware_version', String(128), nullable=False),
    Column('address', String(64), nullable=False),
    Column('connection_request_url', Text, nullable=False),
    Column('udp_address', String(128), nullable=False),
    Column('parameter_key', String(64), nullable=False),
    Column('events', String(256), nullable=False),
    Column('first_inform', Double, nullable=False),
    Column('last_inform', Double, nullable=False),
    # See `store.places`: where it informed from before, how often by turns, and when last.
    Column('former_place', Text, nullable=False, server_default=''),
    Column('turns', Integer, nullable=False, server_default='0'),
    Column('turned_at', Double, nullable=False, server_default='0'),
    Index('ix_tr069_device_model', 'oui', 'product_class'),
    postgresql_with={'fillfactor': 70},  # an Inform's update finds room on its own page, and no index is written
)

# What shall be on a device, and how far it is. One row a device; `before` and `before_key` are written once.
desired = Table(
    'tr069_desired',
    metadata,
    Column('device_id', String(512), primary_key=True),
    Column('profile', String(128), nullable=False),
    Column('revision', String(64), nullable=False),
    Column('values', Text, nullable=False),
    Column('restoring', Boolean, nullable=False),
    Column('saved', Text, nullable=False),
    Column('before', Text, nullable=False),
    Column('before_key', String(64)),
    Column('note', Text, nullable=False),
    Column('state', String(16), nullable=False, index=True),
    Column('message', Text, nullable=False),
    Column('attempts', Integer, nullable=False),
    Column('not_before', Double, nullable=False),
    Column('changed_at', Double, nullable=False),
    Column('version', Integer, nullable=False),  # counts up; a step is taken from the version it was decided on
)

# What a device was last found to be able to do, for when it is asked and does not come.
levers = Table(
    'tr069_levers',
    metadata,
    Column('device_id', String(512), primary_key=True),
    Column('software_version', String(128), nullable=False),
    Column('report', Text, nullable=False),
    Column('read_at', Double, nullable=False),
)

task = Table(
    'tr069_task',
    metadata,
    Column('id', String(36), primary_key=True),
    Column('device_id', String(512), nullable=False, index=True),
    Column('request', Text, nullable=False),
    Column('state', String(16), nullable=False, index=True),
    Column('answer', Text, nullable=False),
    Column('created_at', Double, nullable=False),
    Column('expires_at', Double, nullable=False),
)

# A model that faulted on a mapped path: its map is wrong, and no more devices of it are touched.
quarantine = Table(
    'tr069_quarantine',
    metadata,
    Column('model', String(512), primary_key=True),
    Column('path', Text, nullable=False),
    Column('fault', Text, nullable=False),
    Column('device_id', String(512), nullable=False),
    Column('since', Double, nullable=False),
)

# The first device of a model whose WAN was changed, and whether it has informed since.
canary = Table(
    'tr069_canary',
    metadata,
    Column('model', String(512), primary_key=True),
    Column('device_id', String(512), nullable=False),
    Column('state', String(16), nullable=False),
    Column('changed_at', Double, nullable=False),
)

# How several processes hear of each other's changes: each reads on from the last number it saw.
change = Table(
    'tr069_change',
    metadata,
    Column('seq', Integer, primary_key=True, autoincrement=True),
    Column('device_id', String(512), nullable=False),
    Column('at', Double, nullable=False),
    sqlite_autoincrement=True,
)
