# Every target but `clean` makes or updates .venv by itself, from a clean clone as well.
PYTHON := .venv/bin/python
STAMP := .venv/.set-up

unexport PYTHONDONTWRITEBYTECODE
export MPLBACKEND := Agg

.PHONY: help demo test bench bench-bayes validate lint types contracts check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

$(STAMP): pyproject.toml scripts/setup-env
	@scripts/setup-env
	@touch $@

demo: $(STAMP) ## Run every script of examples/ on real data; tables, plots, report in demo_output/
	@set -e; for script in examples/*.py; do \
		echo; echo "== $$script"; $(PYTHON) $$script --out demo_output; done

test: $(STAMP) ## Run the tests
	@$(PYTHON) -m pytest

bench: $(STAMP) ## Run the benchmarks
	@if [ -f benchmarks/run.py ]; then $(PYTHON) benchmarks/run.py; else echo "No benchmarks yet."; fi

bench-bayes: $(STAMP) ## Compare samplers: bulk ESS a second of ours, bambi, rstanarm and brms
	@$(PYTHON) benchmarks/bayes/run.py

validate: $(STAMP) ## Run the long statistical checks (tests marked `validate`)
	@$(PYTHON) -m pytest -m validate || { [ $$? -eq 5 ] && echo "No long checks yet."; }

lint: $(STAMP) ## Check style and format
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

types: $(STAMP) ## Check types
	@$(PYTHON) -m mypy

contracts: $(STAMP) ## Check that imports run one way
	@.venv/bin/lint-imports

check: lint types contracts ## lint + types + contracts

clean: ## Delete caches and everything the other targets wrote, but not .venv
	rm -rf .venv-floor demo_output build dist site
	rm -rf .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .numba_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
