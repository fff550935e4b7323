# `make demo`: the whole way on a synthetic log. `make test`: every check on every backend.
PYTHON ?= python3
VENV ?= .venv
# The first one runs what needs no backend, too, and torch compiles nothing.
BACKENDS ?= torch jax tensorflow
# Processes that a backend's tests are dealt over.
WORKERS ?= auto
RESULTS := .build/tests

export TF_CPP_MIN_LOG_LEVEL ?= 3
# The suite on JAX mostly compiles. What it compiles is kept for the next run, apart for each kind of processor.
processor := $(shell (grep -m1 flags /proc/cpuinfo || uname -mp) 2>/dev/null | cksum | cut -d' ' -f1)
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.build/jax-$(processor)
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
bin := $(abspath $(VENV))/bin

.PHONY: demo test lint clean $(addprefix test-,$(BACKENDS))

demo: $(VENV)/.installed
	KERAS_BACKEND=tensorflow $(bin)/python -m grouprank.recipes.demo

# The suite on one backend after the other, each dealt over the cores. Tests that do not depend on the backend run with the
# first backend alone. A backend that fails does not keep the others from running; what failed is named at the end.
test: lint
	@rm -rf $(RESULTS) && mkdir -p $(RESULTS)
	@$(MAKE) --no-print-directory --keep-going FIRST=$(firstword $(BACKENDS)) $(addprefix test-,$(BACKENDS)) || \
		touch $(RESULTS)/failed
	@$(bin)/python tests/support/summary.py $(RESULTS) $(BACKENDS) && test ! -e $(RESULTS)/failed

# A backend alone runs all tests.
$(addprefix test-,$(BACKENDS)): test-%: $(VENV)/.installed-dev
	KERAS_BACKEND=$* $(bin)/python -m pytest tests --numprocesses=$(WORKERS) --dist=worksteal \
		--junitxml=$(RESULTS)/$*.xml $(if $(filter-out $(or $(FIRST),$*),$*),-m "not any_backend")

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
