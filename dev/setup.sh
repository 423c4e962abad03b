#!/bin/sh
# Brings a machine to where the project runs: Debian packages, a Python, a virtual environment. Safe to repeat.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# --- One at a time ---------------------------------------------------------------------------------------------
# Two targets of one clone started side by side share a virtual environment: the second waits for the first.
mkdir -p .netbox
exec 9>.netbox/setup.lock
if ! flock -n 9; then
    say "waiting for another setup of this clone"
    flock 9
fi
# Clones share uv's cache, which one of them may hold for as long as a download takes.
export UV_LOCK_TIMEOUT="${UV_LOCK_TIMEOUT:-3600}"

# --- Debian packages -------------------------------------------------------------------------------------------
missing=
need() { # need PACKAGE COMMAND-OR-PATH…: the package is missing where none of these is found
    package=$1; shift
    for found in "$@"; do
        case $found in
            /*) for path in $found; do [ -e "$path" ] && return 0; done ;;
            *) PATH="$PATH:/usr/sbin:/sbin" command -v "$found" >/dev/null 2>&1 && return 0 ;;
        esac
    done
    missing="$missing $package"
}
# The message catalogues are checked against the sources with it.
need gettext xgettext
# The services are private ones when no URL is given.
[ -n "${DATABASE_URL:-}" ] || need postgresql '/usr/lib/postgresql/*/bin/initdb' initdb
[ -n "${DATABASE_URL:-}" ] && need postgresql-client psql
[ -n "${REDIS_URL:-}" ] || need redis-server redis-server
# Real peers of the tests.
need openssh-server sshd
need freeradius freeradius
need freeradius-utils radclient
need freeradius-postgresql /usr/lib/freeradius/rlm_sql_postgresql.so
need freeradius-mysql /usr/lib/freeradius/rlm_sql_mysql.so
need mariadb-server mariadbd
# The demo's lab of network namespaces needs root, and these; without root it is left out.
if [ "$(id -u)" = 0 ]; then
    need iproute2 ip
    need nftables nft
    need iperf3 iperf3
fi

if [ -n "$missing" ]; then
    install="apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends$missing"
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root=sudo
    else
        die "Debian packages are missing; as root: apt-get update && $install"
    fi
    command -v apt-get >/dev/null 2>&1 || die "install these with this system's package manager:$missing"
    say "installing$missing"
    # Only the programs are wanted: nothing may start to listen on this machine because a demo was tried. The lock is
    # the machine's, since two clones may find the same packages missing; dpkg's own is waited for, not failed at.
    $as_root flock /run/lock/netbox-delinquency-setup.lock sh -eu -c '
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then
            trap "rm -f $policy" EXIT
            printf "#!/bin/sh\nexit 101\n" > $policy
            chmod 755 $policy
        fi
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive "$@" >/dev/null
    ' sh $install
fi

# --- Python ----------------------------------------------------------------------------------------------------
fits() { "$1" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info[:2] < (3, 15))' >/dev/null 2>&1; }
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || die "PYTHON=$PYTHON does not run, or is not Python 3.12 to 3.14"
        echo "$PYTHON"
        return
    fi
    for python in python3.12 python3.13 python3.14 python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12.*/bin/python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[34].*/bin/python; do
        # A pyenv shim answers for versions that are not selected by failing, so it is run, not only found.
        command -v "$python" >/dev/null 2>&1 && fits "$python" && { command -v "$python"; return; }
    done
    command -v uv >/dev/null 2>&1 && uv python find '>=3.12,<3.15' 2>/dev/null || true
}
if [ ! -x .venv/bin/python ] || ! fits .venv/bin/python; then
    python=$(find_python)
    [ -n "$python" ] || die "no Python 3.12 or later was found (PATH, pyenv, uv); try: uv python install 3.12, or" \
        "pyenv install 3.12, or set PYTHON=/path/to/python3.12"
    say "using $python"
fi

# --- Virtual environment ---------------------------------------------------------------------------------------
if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    uv=.netbox/uv/bin/uv
    if [ ! -x $uv ]; then
        say "installing uv"
        "${python:-.venv/bin/python}" -m venv .netbox/uv
        .netbox/uv/bin/pip install --quiet --disable-pip-version-check uv
    fi
fi
if [ -n "${python:-}" ]; then
    $uv venv --quiet --clear --python "$python" .venv
fi
# The dependencies are resolved anew only when their declaration or the pins changed.
stamp=$(cat pyproject.toml setup.py dev/constraints.txt dev/overrides.txt | sha256sum | cut -d' ' -f1)
if [ "$(cat .venv/setup-stamp 2>/dev/null)" != "$stamp" ]; then
    say "installing Python packages (half a minute)"
    $uv pip install --quiet --python .venv/bin/python --constraint dev/constraints.txt \
        --override dev/overrides.txt --editable '.[dev]'
    echo "$stamp" > .venv/setup-stamp
fi
