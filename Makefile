# portalsec: `make demo` serves the example portal, `make test` runs the whole suite; `make help` lists the rest.
#
# Needs Python 3.11 or newer, make and git. Everything is installed into .venv, from requirements/*.txt, by hash.
# A stamp in .venv says which set is installed, so that a second call runs no pip at all.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
DATA   ?= .demo
PORT   ?= 8000
FHIR   ?=
ARGS   ?=

PIP_INSTALL := $(PY) -m pip install --quiet --no-input --disable-pip-version-check

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo demo-codes demo-rotate demo-django demo-reset test soak bench docs check check-style check-types check-imports check-wheel clean

help:
	@echo 'make demo         serve the example portal at http://localhost:$(PORT)  (PORT=, DATA=folder, FHIR=folder)'
	@echo 'make demo-codes   the one-time codes of its accounts'
	@echo 'make demo-rotate  rotate its keys while it serves                    (DATA=folder)'
	@echo 'make demo-django  a minimal portal on the same settings and policy  (its data: .demo-django)'
	@echo 'make demo-reset   delete the data of both demos                  (DATA=folder: that one)'
	@echo 'make test         the whole suite                                    (ARGS= goes to pytest)'
	@echo 'make check        lint, format, types, import rules, the built wheel'
	@echo 'make soak         the full counts, an hour or two; writes docs/reference/measured.md'
	@echo 'make bench        the table of speeds; writes bench/results.json     (ARGS="--quick", "--only rbac")'
	@echo 'make docs         build the docs into docs/_build, warnings as errors'
	@echo 'make clean        delete .venv and everything that was built'
	@echo
	@echo 'PYTHON=python3.12 picks the interpreter for a new .venv (now: $(PYTHON)).'

# -- what is installed ------------------------------------------------------------------------------------------
# A .venv that works is kept, whoever made it; in a moved clone it is installed into again, since it points at the
# old place; one whose interpreter is gone, too old or without pip is made anew.

ifneq ($(shell $(PY) -c '' 2>/dev/null && cat $(VENV)/.made-for 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/.made-for
endif

$(VENV)/.made-for:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "portalsec needs Python 3.11 or newer, and $(PYTHON) is %d.%d: name another, as in  make PYTHON=python3.12 $(MAKECMDGOALS)" % v[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo '$(PYTHON) cannot make virtual environments: install its venv module (Debian: apt-get install python3-venv)' >&2; exit 1; }
	@$(PY) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@rm -f $(VENV)/.installed-*
	@echo '$(CURDIR)' > $@

INSTALLED := $(addprefix $(VENV)/.installed-,demo test bench)

$(INSTALLED): $(VENV)/.installed-%: requirements/%.txt pyproject.toml $(VENV)/.made-for
	@echo 'Installing requirements/$*.txt into $(VENV) (only when it changed; a minute or so)'
	@$(PIP_INSTALL) --require-hashes -r requirements/$*.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# -- the portal -------------------------------------------------------------------------------------------------
# `exec` leaves no shell between make and the portal, so that Ctrl-C reaches it once and ends it cleanly.

demo: $(VENV)/.installed-demo
	@exec $(PY) examples/portal_fastapi/serve.py --data '$(DATA)' --port '$(PORT)' $(if $(FHIR),--fhir '$(FHIR)')

# Its data lies beside the other's, unless DATA= says otherwise.
demo-django: DATA = .demo-django
demo-django: $(VENV)/.installed-test
	@exec $(PY) examples/portal_django/serve.py --data '$(DATA)' --port '$(PORT)' $(if $(FHIR),--fhir '$(FHIR)')

demo-codes: $(VENV)/.installed-demo
	@$(PY) examples/portal_fastapi/serve.py --data '$(DATA)' --codes

# Beside a running demo, in another terminal.
demo-rotate: $(VENV)/.installed-demo
	@$(PY) examples/portal_fastapi/rotate.py --data '$(DATA)'

# Only a folder that a demo made: DATA= may hold a typing error.
demo-reset:
	@for folder in $(if $(filter file,$(origin DATA)),.demo .demo-django,'$(DATA)'); do \
	  if [ ! -e "$$folder" ]; then echo "There is no demo data in $$folder."; \
	  elif [ -f "$$folder/portalsec.toml" ] || [ -f "$$folder/.portalsec-demo-unfinished" ]; then \
	    rm -rf -- "$$folder" && echo "Deleted $$folder."; \
	  else \
	    echo "$$folder is not the data folder of a demo (it holds no portalsec.toml): delete it by hand if you mean it" >&2; \
	    exit 1; \
	  fi; \
	done

# -- three tiers ------------------------------------------------------------------------------------------------

# A worker on each core takes whole files, in their order: the browser's come last, since while Playwright is open no
# other event loop runs in its thread.
WORKERS ?= logical

test: $(VENV)/.installed-test
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# Where the counts are larger under PORTALSEC_SOAK: races of every store, kills, statistics.
SOAKED := tests/soak tests/stores tests/django/test_contracts.py tests/audit/test_kill.py \
  tests/sqlalchemy/test_rotation_kill.py tests/auth/test_strength.py tests/auth/passkeys/test_malformed.py \
  tests/auth/passkeys/test_attestation_mutants.py tests/auth/passkeys/test_fido2_server.py \
  tests/abuse/test_door_processes.py tests/abuse/test_throttle.py

soak: $(VENV)/.installed-test
	@PORTALSEC_SOAK=1 $(PY) -m pytest -o faulthandler_timeout=0 --write-measured docs/reference/measured.md $(SOAKED) $(ARGS)

# Rows with a server have it from the tests, which start it.
bench: $(VENV)/.installed-test $(VENV)/.installed-bench
	@$(PY) -m bench.run $(ARGS)

# -- gates ------------------------------------------------------------------------------------------------------

docs: $(VENV)/.installed-test
	@$(PY) -m sphinx -b html -n -W --keep-going -q docs docs/_build
	@echo 'docs/_build/index.html'

check: check-style check-types check-imports check-wheel

check-style: $(VENV)/.installed-test
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

check-types: $(VENV)/.installed-test
	@$(PY) -m mypy

check-imports: $(VENV)/.installed-test
	@$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

# The built wheel is what gets imported, where nothing but the base install is.
check-wheel: $(VENV)/.installed-test
	@rm -rf build/wheel && mkdir -p build/wheel
	@$(PY) -m build --wheel --no-isolation --outdir build/wheel . > build/wheel/build.log || { cat build/wheel/build.log; exit 1; }
	@$(PY) -m venv --clear build/wheel/venv
	@build/wheel/venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check --require-hashes -r requirements/base.txt
	@build/wheel/venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check --no-deps --no-index build/wheel/*.whl
	@build/wheel/venv/bin/python -I tests/wheel_without_extras.py

clean:
	rm -rf $(VENV) build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
