# make demo               two notebooks and one motor, in the browser
# make demo HEADLESS=1    the same two notebooks against each other, told line by line
# make demo EPICS=1       on motor records of an EPICS server (also with HEADLESS=1)
# make test               the tests that need no browser, and the notebooks
# make lint               style, types, import contracts
# make test-browser       the tests that drive a browser
# make pictures           the same, and the documentation gets the pictures that they take
# PYTHON=python3.12 chooses the Python that .venv is made with.

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test lint test-browser test-slow pictures

demo: .venv/.with-demo $(if $(EPICS),.venv/.with-epics)
	@$(BIN)/motorlock demo $(if $(HEADLESS),--headless) $(if $(EPICS),--epics)

test: .venv/.with-test
	$(PYTEST) --ignore tests/e2e -m "not browser and not slow" -n 3 --dist loadfile
	$(PYTEST) --nbval --nbval-current-env --nbval-sanitize-with notebooks/sanitize.cfg notebooks

lint: .venv/.with-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test-browser: .venv/.with-long
	$(PYTEST) -m browser

pictures: test-browser
	for one in docs/images/*.png; do ! test -f tests/e2e/screenshots/$${one##*/} || cp tests/e2e/screenshots/$${one##*/} $$one; done

test-slow: .venv/.with-long
	$(PYTEST) -m "slow and not browser"

# The stamps say what .venv has; a change of what is asked for installs anew.
.venv/.with-%: pyproject.toml constraints.txt | .venv/.made
	@echo "Installing what '$*' needs into .venv: this takes a minute or two."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	@touch $@

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"motorlock needs Python 3.11 or newer, and $(PYTHON) is older: name another one, as in make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv .venv
	@touch $@
