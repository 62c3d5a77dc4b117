# make demo               two notebooks and one motor, in the browser
# make demo HEADLESS=1    the same two notebooks against each other, told line by line
# make demo EPICS=1       on motor records of an EPICS server (also with HEADLESS=1)
# make test               the tests that need no browser, and the notebooks
# make lint               style, types, import contracts, words
# make test-changed       the tests of what you changed since the last commit
# make words              how the code speaks, counted beside the aims of the house style
# make help               this list
# make pins               fails where a locked version was yanked; asks the package index
# make test-browser       the tests that drive a browser
# make pictures           the same, and the documentation gets the pictures that they take
# PYTHON=python3.12 chooses the Python that .venv is made with.

PYTHON ?= python3
BIN := .venv/bin
# This is what must be so before Python starts; of the rest, tests/environment.py takes care.
PYTEST := LC_ALL=C.UTF-8 $(BIN)/python -E -m pytest
SHARED_OUT := -n 4 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-changed words test-anywhere lint pins test-browser test-slow pictures

demo: .venv/.with-demo $(if $(EPICS),.venv/.with-epics)
	@$(BIN)/motorlock demo $(if $(HEADLESS),--headless) $(if $(EPICS),--epics)

test: .venv/.with-test
	@failed=0; \
	$(PYTEST) --ignore tests/e2e -m "not browser and not slow" $(SHARED_OUT) || failed=1; \
	$(PYTEST) --nbval --nbval-current-env --nbval-sanitize-with notebooks/sanitize.cfg notebooks || failed=1; \
	exit $$failed

# What depends most on the machine, the user and the hour: .ci/hostile runs it where all of them are against it.
test-anywhere: .venv/.with-test
	$(PYTEST) $(SHARED_OUT) -m "not slow and not browser" tests/test_environment.py tests/test_tutorial.py \
	tests/test_python_page.py tests/test_demo.py tests/api/test_api_check.py tests/api/test_api_configuration.py \
	tests/api/test_api_secrets.py tests/drivers/test_check_a_stage.py tests/drivers/test_check_a_record.py \
	tests/notebook/test_configuration.py tests/notebook/test_history.py tests/notebook/test_newcomer.py \
	tests/notebook/test_sharing.py tests/notebook/test_cli.py

test-changed: .venv/.with-test
	$(BIN)/python tests/changed.py

words:
	@$(PYTHON) tests/language.py

help:
	@sed -n '/^# make/s/^# //p' Makefile

lint: .venv/.with-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/language.py

pins: .venv/.made
	$(BIN)/python .ci/yanked_pins.py constraints.txt

test-browser: .venv/.with-long
	$(PYTEST) -m browser

pictures: test-browser
	for one in docs/images/*; do ! test -f tests/e2e/screenshots/$${one##*/} || cp tests/e2e/screenshots/$${one##*/} $$one; done

test-slow: .venv/.with-long
	$(PYTEST) -m "slow and not browser" $(SHARED_OUT)

# The stamps say what .venv has; a change of what is asked for installs anew.
# The version stands in authority/__init__.py, and what is installed has to say the same.
.venv/.with-%: pyproject.toml constraints.txt authority/__init__.py | .venv/.made
	@echo "Installing what '$*' needs into .venv: this takes a minute or two."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	@touch $@

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"motorlock needs Python 3.11 or newer, and $(PYTHON) is older: name another one, as in make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv .venv
	@touch $@
