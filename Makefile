# make test     every check, then doctests and tests; the first time it makes .venv with the dev tools
# make services  the tests that need real servers; the first time it installs these
# make fix      format, and mend what the linter can
# make matrix   the tests on every Python of PYTHONS that is here
# make bench    the benchmarks
# make clean    remove what the above made
#
# PYTHON is what .venv is made with (make clean before changing it) and what the benchmarks run on.
# ARGS goes to pytest: make unit ARGS="-k cache -x"

PYTHON ?= python3
PYTHONS ?= 3.9 3.10 3.11 3.12 3.13
# Each worker begins with a part of its own, and so makes what a file shares once.
PYTEST = -m pytest -n auto --dist worksteal --doctest-modules redun_lite tests \
  --ignore=redun_lite/contrib --ignore=tests/services $(ARGS)
# One server for each file: else each worker would start its own.
SERVICES = -m pytest -n auto --dist loadfile --doctest-modules redun_lite/contrib tests/services $(ARGS)
# The programs that tests start would compile the package, each again if they may not keep that.
COMPILE = -m compileall -q redun_lite
# pip 25.1 is the first that installs dependency groups; -qq keeps errors only.
INSTALL = -m pip install -qq --disable-pip-version-check

# The package is never installed: every tool, test and subprocess of a test finds it here.
export PYTHONPATH := $(CURDIR)
# Else each process of the tests would compile them, and pytest rewrite their assertions, each time.
unexport PYTHONDONTWRITEBYTECODE

.NOTPARALLEL:
.PHONY: test format lint types layers oldest unit services fix matrix bench clean

test: format lint types layers oldest unit

.venv/stamp: pyproject.toml
	@echo "installing the dev tools into .venv"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python $(INSTALL) 'pip>=25.1'
	@.venv/bin/python $(INSTALL) --group dev
	@touch $@

format: .venv/stamp
	@.venv/bin/ruff format --check

lint: .venv/stamp
	@.venv/bin/ruff check

# The variable keeps pyright from asking whether there is a newer one. It looks for packages in the
# Python on PATH unless it is told.
types: .venv/stamp
	@.venv/bin/mypy --strict redun_lite
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 .venv/bin/pyright --pythonpath .venv/bin/python

layers: .venv/stamp
	@report=$$(.venv/bin/lint-imports) || { echo "$$report"; exit 1; }; \
	echo "$$report" | tail -n 1

oldest: .venv/stamp
	@.venv/bin/vermin --quiet --no-tips --violations --target=3.9- redun_lite
	@echo "Nothing in redun_lite needs more than Python 3.9"

unit: .venv/stamp
	@.venv/bin/python $(COMPILE)
	@.venv/bin/python $(PYTEST)

# What cannot be installed here is said, and its tests are skipped.
.venv/services: .venv/stamp
	@echo "installing what tests/services need"
	@.venv/bin/python $(INSTALL) --group services
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql; } >/dev/null || \
	  echo "PostgreSQL could not be installed"
	@touch $@

services: .venv/services
	@.venv/bin/python $(SERVICES)

fix: .venv/stamp
	@.venv/bin/ruff check --fix --exit-zero
	@.venv/bin/ruff format

# find_python 3.X: the newest patch release that pyenv has, else the one on PATH, else nothing.
# A version named on the command line must be here; of the default ones, at least one.
matrix:
	@find_python() { \
	  for found in $$(ls -d "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$1.*/bin/python 2>/dev/null \
	      | sort -rV) python$$1; do \
	    "$$found" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$$1')" 2>/dev/null \
	      && echo "$$found" && return; \
	  done; \
	}; \
	install() { \
	  [ $$2/stamp -nt pyproject.toml ] || { \
	    "$$1" -m venv $$2 && $$2/bin/python $(INSTALL) 'pip>=25.1' \
	    && $$2/bin/python $(INSTALL) --group test && touch $$2/stamp; }; \
	}; \
	ran=; failed=; \
	for version in $(PYTHONS); do \
	  venv=.venv-$$version; \
	  python=$$(find_python $$version); \
	  if [ -z "$$python" ]; then \
	    echo "$$version  not found"; \
	    [ "$(origin PYTHONS)" = file ] || failed="$$failed $$version"; \
	  elif ! install "$$python" $$venv; then \
	    echo "$$version  FAILED to install the test tools for $$python"; failed="$$failed $$version"; \
	  elif $$venv/bin/python $(COMPILE) && $$venv/bin/python $(PYTEST) >$$venv/log 2>&1; then \
	    echo "$$version  $$(tail -n 1 $$venv/log)"; ran=yes; \
	  else \
	    cat $$venv/log; \
	    echo "$$version  FAILED  $$(tail -n 1 $$venv/log)"; failed="$$failed $$version"; \
	  fi; \
	done; \
	if [ -n "$$failed" ]; then echo "matrix: failed on$$failed" >&2; exit 1; fi; \
	if [ -z "$$ran" ]; then echo "matrix: none of $(PYTHONS) is here" >&2; exit 1; fi

bench:
	@$(PYTHON) benchmarks/throughput.py
	@$(PYTHON) benchmarks/scale.py
	@$(PYTHON) benchmarks/startup.py

clean:
	@rm -rf .venv .venv-3.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache \
	  build dist *.egg-info
	@find . -name __pycache__ -prune -exec rm -rf {} +
