# Allmend. `make demo` needs Python 3.11 and nothing else; so does `make test`, which uses Chromium where there is one.
# What is installed follows constraints.txt (the lock), in stages with a stamp each: a second `make demo` installs nothing.

PYTHON ?= python3.11
WORKERS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
VENV := .venv
BIN := $(VENV)/bin
LOCK := constraints.txt
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(LOCK)
TORCH := torch==2.13.0# exactly so: on another spec the resolver pulls gigabytes of CUDA (docs/dependencies.md)
DEV := demo,s3,dev

export HF_HUB_OFFLINE := 1
export HF_DATASETS_OFFLINE := 1

.PHONY: help demo test lint docs bench-waist lock clean
.DELETE_ON_ERROR:

help:  ## This list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## From the bundled crawl to a trained, audited, reported model, in minutes.
	@$(BIN)/allmend run recipes/commons-demo.yaml

test: $(VENV)/.dev  ## All tests.
	@$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile

lint: $(VENV)/.dev  ## Format, lint, types, import rules.
	$(BIN)/ruff format --check src tests docs
	$(BIN)/ruff check src tests docs
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev  ## Write docs/reference from the code.
	@$(BIN)/python docs/generate.py

bench-waist: $(VENV)/.dev  ## What the waist costs: a step, a part, a plan, a reused run, --help.
	@$(BIN)/python -m bench.waist

lock: $(VENV)/.build  ## Resolve all extras anew and write constraints.txt; pins of packages that no extra draws in stay.
	@rm -rf $(VENV)/lock && $(PYTHON) -m venv $(VENV)/lock
	@$(VENV)/lock/bin/pip install --quiet --disable-pip-version-check hatchling editables
	@$(VENV)/lock/bin/pip install --quiet --disable-pip-version-check $(TORCH)
	@$(VENV)/lock/bin/pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[$(DEV)]'
	@$(VENV)/lock/bin/pip check
	@$(VENV)/lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' | tr 'A-Z_' 'a-z-' > $(VENV)/lock/new
	@sort --stable --unique --field-separator='=' --key=1,1 $(VENV)/lock/new $(LOCK) > $(VENV)/lock/merged
	@mv $(VENV)/lock/merged $(LOCK) && rm -rf $(VENV)/lock && git diff --stat -- $(LOCK)

clean:  ## Remove what was installed and what tools cached; artifacts (.allmend) stay.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# One line a stage: what is done, and its seconds. What pip says is shown if it fails.
define stage
@printf '%-64s' $(1); begun=$$(date +%s); \
if { $(2); } > $(VENV)/install.log 2>&1; then printf '%4d s\n' $$(($$(date +%s) - begun)); \
else echo ' failed'; cat $(VENV)/install.log >&2; exit 1; fi
@touch $@
endef

$(VENV)/.made:
	@command -v $(PYTHON) > /dev/null || { echo "There is no $(PYTHON). Install Python 3.11, or name yours: make demo PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) can't make a virtual environment. On Debian: apt install python3.11-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.build: $(VENV)/.made $(LOCK)
	$(call stage,"Install the build tools",$(PIP) hatchling editables)

$(VENV)/.torch: $(VENV)/.build
	$(call stage,"Install PyTorch (the largest part)",$(PIP) $(TORCH))

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(call stage,"Install Allmend and what the demo uses",$(PIP) --no-build-isolation --editable '.[demo]')

$(VENV)/.dev: $(VENV)/.demo
	$(call stage,"Install what the tests use",$(PIP) --no-build-isolation --editable '.[$(DEV)]')
