# `make demo`: the whole way on a synthetic log. `make test`: every check on every backend.
PYTHON ?= python3
VENV ?= .venv
BACKENDS ?= tensorflow jax torch

export TF_CPP_MIN_LOG_LEVEL ?= 3
bin := $(abspath $(VENV))/bin

.PHONY: demo test lint clean $(addprefix test-,$(BACKENDS))

demo: $(VENV)/.installed
	KERAS_BACKEND=tensorflow $(bin)/python -m grouprank.recipes.demo

# A backend's suite keeps about one core busy, so two run side by side; each prints when it is done.
test: lint
	@$(MAKE) --no-print-directory --output-sync=target -j2 $(addprefix test-,$(BACKENDS))

$(addprefix test-,$(BACKENDS)): test-%: $(VENV)/.installed-dev
	KERAS_BACKEND=$* $(bin)/python -m pytest tests

lint: $(VENV)/.installed-dev
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/lint-imports
	@# mypy wants the package under its own name, and the repository root is the package.
	@mkdir -p .build && ln -sfn "$(CURDIR)" .build/grouprank
	cd .build && $(bin)/mypy --config-file "$(CURDIR)/pyproject.toml" -p grouprank

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(bin)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[recipes]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(bin)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .build .mypy_cache .ruff_cache .pytest_cache runs
