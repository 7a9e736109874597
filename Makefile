# `make help` says what there is. Everything happens inside $(VENV); nothing is installed elsewhere.
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
KERNELS := $(VENV)/.kernels
# make test WORKERS=2: so many processes at once, each with whole files of tests. Empty: one.
WORKERS ?=

.DEFAULT_GOAL := help

.PHONY: help install demo test lint docs bench report clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## Make the virtual environment with pinned dependencies
	@rm -f $(STAMP)
	@$(MAKE) --no-print-directory $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch first: its pinned build decides what everything else is resolved against.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

demo: $(STAMP) ## Fetch the pinned assets and run the main job: a sweep with a report
	$(BIN)/ttft-bench sweep --strategies hullft,sift,knn

# A gigabyte that only tests need: kernels for a GPU are interpreted, and compiled for one that is not here.
$(KERNELS): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[kernels]'
	@touch $(KERNELS)

test: $(STAMP) $(KERNELS) ## Run all tests, the end-to-end ones on the real model and corpus included
	$(BIN)/python -m pytest $(if $(WORKERS),-n $(WORKERS) --dist loadfile)

lint: $(STAMP) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP) ## Write what docs/ has from the code, and build the site into build/docs
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/tools/blocks.py
	$(BIN)/python docs/tools/build_site.py

bench: $(STAMP) ## Check Frank-Wolfe against exact solutions on real pools, with times
	$(BIN)/ttft-bench verify --strategies hullft

report: $(STAMP) ## Write the report of RUN anew: make report RUN=reports/<run>
	@test -n "$(RUN)" || { echo "say which run: make report RUN=reports/<run>"; exit 2; }
	$(BIN)/ttft-bench report $(RUN)

clean: ## Remove what builds and tests left behind (not the environment, not the runs)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
