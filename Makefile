# Every target sets up what it needs; all of them can be repeated.
PYTHON_IN_VENV := .venv/bin/python
DEV := $(PYTHON_IN_VENV) -m dev
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help venv setup demo serve test lint docs bench messages pins stop clean

help:  ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

venv:
	@sh dev/setup.sh
	@$(PYTHON_IN_VENV) -m dev messages

setup: venv  ## all that is needed: packages, virtual environment, services, template database
	@$(DEV) setup

demo: venv  ## the main job, end to end; exits with 0 only where every figure is right
	@$(DEV) demo

serve: venv  ## NetBox with the demo network behind it, until Ctrl-C
	@$(DEV) serve

test: venv  ## all tests, with coverage
	@$(DEV) test

lint: venv  ## style, types, direction of imports, documents, migrations and message catalogues
	@ruff check .
	@ruff format --check .
	@mypy
	@lint-imports
	@zensical build --strict
	@$(DEV) check

docs: venv  ## the documents as pages, in site/; fails on a link that leads nowhere
	@zensical build --strict --clean

bench: venv  ## the benchmarks, one after the other; one alone: make bench-NAME
	@$(DEV) bench

bench-%: venv
	@$(DEV) bench $*

messages: venv  ## renew the message catalogues from the sources
	@$(DEV) makemessages

pins: venv  ## renew the pinned versions in dev/constraints.txt
	@sh dev/pins.sh

stop:  ## stop the private PostgreSQL
	@[ ! -x $(PYTHON_IN_VENV) ] || $(DEV) stop

clean: stop  ## remove all that was made here; the cached NetBox schema is kept
	@rm -rf .netbox .venv build dist site .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@rm -rf /var/tmp/netbox-delinquency-* *.egg-info
