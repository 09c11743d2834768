# `make test` and `make demo` work on a fresh machine: each makes .venv, installs into it and runs.
# The first installation downloads torch; a second run starts at once.

PYTHON ?= python3
VENV ?= .venv
LOWEST ?= .venv-lowest
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install test lowest lowest-again lint format docs pictures demo soak gpu clean
.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

# torch first and alone, pinned: left to the resolver, a plain `torch` may bring several GB of CUDA libraries.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

install: $(INSTALLED)  ## Make .venv with everything in it

test: $(INSTALLED)  ## Run the tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4

# The oldest versions that pyproject.toml allows of what it names, in an environment of their own. torch is the pinned one:
# another would bring CUDA. Its index resolves for every system; what of its list is CUDA's is not installed. Old releases
# warn of each other, so that warnings are no errors here. Left out is what drives Chromium and nginx: the page and the
# proxy meet the same code of the server as other tests do, no dependency's lower bound is at stake in them, and they take
# minutes. What failed is written down in its own place, not where `make test` looks.
LOWEST_TESTS := $(LOWEST)/bin/python -m pytest -W default -o cache_dir=$(LOWEST)/.pytest_cache \
	--ignore-glob='tests/server/test_page*.py' --ignore=tests/server/test_fleet.py --ignore=tests/server/test_deploy.py

lowest:  ## Run the tests with the oldest dependencies that are allowed
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch uv
	$(LOWEST)/bin/uv pip compile --quiet --resolution lowest-direct --all-extras --python $(LOWEST)/bin/python \
		-c constraints.txt --no-annotate --no-header pyproject.toml | grep -Ev '^(torch|triton|nvidia|cuda)' \
		> $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(LOWEST)/lowest.txt -e '.[dev]'
	$(LOWEST_TESTS) -n auto --maxprocesses 4

lowest-again:
	$(LOWEST_TESTS) --last-failed --last-failed-no-failures none

lint: $(INSTALLED)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks

format: $(INSTALLED)  ## Put the code into the style that `make lint` checks
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)  ## Build the documentation into site/, with every link checked
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

pictures: $(INSTALLED)  ## Draw the documentation's pictures of the live view and the page anew (needs Chromium)
	$(BIN)/python demos/live_view.py docs/images/live.svg
	$(BIN)/python docs/draw_page.py
	$(BIN)/python demos/make_pictures.py

demo: $(INSTALLED)  ## Enrol three bundled voices and follow a conversation of four, three times as fast as it was
	$(BIN)/streamer live --simulate --speed 3

soak: $(INSTALLED)  ## Five minutes of a hundred streams that come, stall, break and go
	STREAMER_SOAK_SECONDS=300 STREAMER_SOAK_STREAMS=100 $(BIN)/python -m pytest -s tests/engine/test_soak.py

# On a machine without a GPU it does the same on the CPU with small numbers, so that it can be tried there.
gpu: $(INSTALLED)  ## Run the tests that need a GPU, and measure what many streams cost on it
	$(BIN)/python benchmarks/gpu.py

clean:  ## Remove .venv and the caches
	rm -rf $(VENV) $(LOWEST) .mypy_cache .pytest_cache .ruff_cache .hypothesis
