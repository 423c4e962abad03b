"""NetBox's configuration for development, tests and the demo. `.netbox/conf/configuration.py` is a link to it.

Where things are comes from the environment, as `dev.instance.environment` sets it.
"""

import os
from urllib.parse import unquote, urlsplit

_database = urlsplit(os.environ['DATABASE_URL'])
_redis = urlsplit(os.environ['REDIS_URL'])
_secret = os.environ['DELINQUENCY_DEV_SECRET']

DATABASES = {
    'default': {
        'NAME': os.environ['DELINQUENCY_DEV_DATABASE'],
        'USER': unquote(_database.username or ''),
        'PASSWORD': unquote(_database.password or ''),
        'HOST': _database.hostname or '',
        'PORT': str(_database.port or ''),
        'CONN_MAX_AGE': 300,
        'TEST': {
            'NAME': f'test_{os.environ["DELINQUENCY_DEV_DATABASE"]}_{os.getpid()}',
            'TEMPLATE': os.environ['DELINQUENCY_DEV_TEMPLATE'],
        },
    }
}


# Every worker of a test run has databases of its own.
_first_redis = 2 * int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw'))


def _redis_database(number: int) -> dict:
    return {
        'HOST': _redis.hostname or 'localhost',
        'PORT': _redis.port or 6379,
        'USERNAME': unquote(_redis.username or ''),
        'PASSWORD': unquote(_redis.password or ''),
        'DATABASE': _first_redis + number,
        'SSL': _redis.scheme == 'rediss',
    }


REDIS = {'tasks': _redis_database(0), 'caching': _redis_database(1)}

SECRET_KEY = _secret
API_TOKEN_PEPPERS = {1: _secret}
ALLOWED_HOSTS = ['*']
PLUGINS = os.environ.get('DELINQUENCY_DEV_PLUGINS', 'netbox_delinquency').split()
DEVELOPER = True  # allows makemigrations
TIME_ZONE = 'America/Sao_Paulo'
RELEASE_CHECK_URL = None
CENSUS_REPORTING_ENABLED = False

EXEMPT_VIEW_PERMISSIONS = []
DEFAULT_PERMISSIONS = {}
LOGGING = {
    'version': 1,
    'disable_existing_loggers': False,
    'handlers': {'console': {'class': 'logging.StreamHandler'}},
    'root': {'handlers': ['console'], 'level': os.environ.get('DELINQUENCY_DEV_LOG', 'WARNING')},
}
