# The two commands: `make demo` and `make test`. Each does all its set-up by itself.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test browser slow format clean

demo: .venv/installed
	$(BIN)/pericia demo

test: .venv/installed browser
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config importlinter.toml
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile

# The page's tests need Debian's Chromium; where it cannot be had they are skipped.
browser:
	@command -v chromium > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium > /dev/null; } || \
		echo "No chromium: the tests of the web page will be skipped. On Debian: sudo apt-get install chromium"

slow: .venv/installed
	$(BIN)/pytest -m slow

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# torch comes first and alone: pip then keeps the build that constraints.txt names.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Pericia needs Python 3.11 or newer"'
	$(PYTHON) -m venv .venv
	@echo "Installing into .venv (about two minutes, 2.5 GB)"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv .pericia
