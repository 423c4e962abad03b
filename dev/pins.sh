#!/bin/sh
# Writes the versions that are installed now into dev/constraints.txt, and these with their hashes into dev/lock.txt.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .netbox/uv/bin/uv)
{
    echo '# The versions that `make setup` installs, so that every machine tests the same ones. Renew with: make pins'
    $uv pip freeze --python .venv/bin/python --exclude-editable
} > dev/constraints.new
mv dev/constraints.new dev/constraints.txt
{
    echo '# What dev/constraints.txt pins, with the hash of each file, and where it comes from left open. Renew with: make pins'
    $uv pip compile --quiet pyproject.toml --extra dev --python .venv/bin/python --universal --python-version 3.12 \
        --generate-hashes --no-header --no-annotate --constraint dev/constraints.txt --override dev/overrides.txt
} > dev/lock.new
mv dev/lock.new dev/lock.txt
