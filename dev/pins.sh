#!/bin/sh
# Writes the versions that are installed now into dev/constraints.txt.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .netbox/uv/bin/uv)
{
    echo '# The versions that `make setup` installs, so that every machine tests the same ones. Renew with: make pins'
    $uv pip freeze --python .venv/bin/python --exclude-editable
} > dev/constraints.new
mv dev/constraints.new dev/constraints.txt
