# What a developer types, and what CI runs: both are one.
# PYTHON is any Python in which `pip install -e '.[test]'` was done.
PYTHON ?= python

.PHONY: help check quick test nightly lint types docs isa kernels postgresql pure smoke wheel audit

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

check: lint types docs test isa kernels postgresql pure smoke  ## all that has to pass before a change lands

quick:  ## lint, and the tests that a change can wait for
	$(PYTHON) -m ruff check .
	$(PYTHON) -m pytest -n auto -q --quick

test:  ## the whole test suite
	$(PYTHON) -m pytest -n auto

nightly: wheel  ## what the suite proves for one case of each kind, for the others; the release
	$(PYTHON) -m pytest -n auto -m 'nightly or fuzz' --hypothesis-profile=nightly

lint:  ## ruff: rules and format
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:  ## pyright
	$(PYTHON) -m pyright --pythonpath "$$($(PYTHON) -c 'import sys; print(sys.executable)')"

docs:  ## the pages as a site, in site/
	PYTHON=$(PYTHON) .ci/docs

isa:  ## supernet and CRF on the instruction sets that this processor has but does not choose
	PYTHON=$(PYTHON) .ci/isa

kernels:  ## the compiled kernels under the address and undefined-behaviour sanitizers
	PYTHON=$(PYTHON) .ci/kernels

postgresql:  ## searches that share a study through PostgreSQL, where it is installed
	PYTHON=$(PYTHON) .ci/postgresql

pure:  ## an installation where there is no compiler
	PYTHON=$(PYTHON) .ci/pure

smoke:  ## the main job at its smallest size, from another folder
	PYTHON=$(PYTHON) .ci/smoke

wheel:  ## source distribution and wheel, and the main job from nothing but the wheel
	PYTHON=$(PYTHON) .ci/wheel

audit:  ## known vulnerabilities of the installed packages, where the network lets it ask
	PYTHON=$(PYTHON) .ci/audit
