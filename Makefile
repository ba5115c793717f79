# Each target builds the environment it needs from nothing; `make help` lists them.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
DATA ?=
CACHE ?=
SIZES ?= 100,200,500,1000,2000,5000
SEEDS ?= 3
BENCH_ARGS ?=
ARGS ?=

DEMO := $(VENV)/demo
DEV := $(VENV)/dev
OLDEST := $(VENV)/oldest
MUTANTS := $(VENV)/mutants
STUDY := $(VENV)/study
# Two processes with one thread each, rather than two with a thread for every core.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
# Old releases use what newer ones of other packages deprecate. Models in the tests were saved with
# a newer scikit-learn.
OLD_WARNINGS := -W ignore::DeprecationWarning -W "ignore:Trying to unpickle:UserWarning"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-oldest lint docs snippets examples bench study mutants fuzz clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "PYTHON=$(PYTHON) builds the environments under $(VENV)/."

demo: $(DEMO)/.ready ## fit the bundled molecules, compare, and write results to demo-output/
	$(DEMO)/bin/dipkit demo --output demo-output
	@echo "The results are in $(CURDIR)/demo-output:"
	@ls demo-output

test: $(DEV)/.ready ## the tests; PYTEST_ARGS="-k soap -x" is passed on
	$(ONE_THREAD) $(DEV)/bin/python -m pytest -n auto --maxprocesses 2 $(PYTEST_ARGS)

test-oldest: $(OLDEST)/.ready ## the tests with every dependency at the lower bound of pyproject.toml
	$(ONE_THREAD) $(OLDEST)/bin/python -m pytest -n auto --maxprocesses 2 $(OLD_WARNINGS) $(PYTEST_ARGS)

lint: $(DEV)/.ready ## ruff check, ruff format --check, mypy
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

docs: $(DEV)/.ready ## the documentation, warnings and broken links as errors, into docs/_build/html
	$(DEV)/bin/python -m sphinx -W --keep-going --quiet -b html docs docs/_build/html
	$(DEV)/bin/python .ci/check_links.py docs/_build/html *.md
	@echo "The documentation is in $(CURDIR)/docs/_build/html/index.html"

snippets: $(DEV)/.ready ## the Python snippets of README.md and of docs/
	$(ONE_THREAD) $(DEV)/bin/python .ci/snippets.py

examples: $(DEV)/.ready ## every examples/*.py and *.ipynb with its quick settings, in a scratch folder
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	for example in examples/*.py; do \
	  [ -e "$$example" ] || { echo "no examples yet"; break; }; \
	  echo "$$example"; \
	  (cd "$$scratch" && DIPKIT_EXAMPLES_QUICK=1 MPLBACKEND=Agg \
	    "$(abspath $(DEV))/bin/python" "$(CURDIR)/$$example"); \
	done; \
	cp examples/*.ipynb "$$scratch"; \
	for notebook in "$$scratch"/*.ipynb; do \
	  echo "$$notebook"; \
	  DIPKIT_EXAMPLES_QUICK=1 "$(abspath $(DEV))/bin/jupyter" execute "$$notebook"; \
	done

bench: $(DEV)/.ready ## learning curve on QM9: make bench DATA=qm9.npz [SIZES=100,200] [SEEDS=3]
	@test -n "$(DATA)" || { \
	  echo "make bench needs DATA=FILE.npz, QM9 in the flat layout of docs/data-formats.md" >&2; \
	  echo "(natoms, numbers, positions, dipole_debye, mulliken)." >&2; exit 2; }
	$(DEV)/bin/python benchmarks/learning_curve.py --data "$(DATA)" \
	  --sizes $(SIZES) --seeds $(SEEDS) $(BENCH_ARGS)

study: $(STUDY)/.ready ## docs/study.md and docs/benchmarks, hours: make study DATA=qm9.npz CACHE=folder [ARGS="--quick"]; continues after a kill
	@test -n "$(DATA)" -a -n "$(CACHE)" || { \
	  echo "make study needs DATA=FILE.npz, QM9 in the flat layout of docs/data-formats.md, and" >&2; \
	  echo "CACHE=FOLDER, where results are kept. ARGS=--plan says what there is to do." >&2; exit 2; }
	$(ONE_THREAD) PYTHONPATH=benchmarks $(STUDY)/bin/python -m study --data "$(DATA)" \
	  --cache "$(CACHE)" $(ARGS)

mutants: $(MUTANTS)/.ready ## the share of small faults in the core that the tests find; ARGS="--number 3 'dipkit/learning/*.py'"
	$(MUTANTS)/bin/python benchmarks/mutants.py $(ARGS)

fuzz: $(DEV)/.ready ## bad files for every reader of files; ARGS="--number 50000 --readers npz,json"
	$(ONE_THREAD) PYTHONPATH=tests $(DEV)/bin/python benchmarks/fuzz.py $(ARGS)

clean: ## remove the environments and everything generated
	rm -rf $(VENV) build dist docs/_build docs/api docs/examples demo-output .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so that an interrupted installation starts again from nothing.
# $(call environment,EXTRAS[,CONSTRAINTS]): the second is a command that prints pip's constraints.
define environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "dipkit needs Python 3.11 or newer; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1 || true)" >&2; \
  echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
@echo "Building $(@D) (some minutes the first time)"
@rm -rf $(@D)
@$(PYTHON) -m venv $(@D)
@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
@$(if $(2),$(@D)/bin/python -m pip install --quiet --disable-pip-version-check packaging)
@$(or $(2),true) > $(@D)/constraints.txt
@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
  --constraint $(@D)/constraints.txt --editable '.[$(1)]'
@touch $@
endef

$(DEMO)/.ready: pyproject.toml
	$(call environment,plot)

$(DEV)/.ready: pyproject.toml
	$(call environment,dev)

$(STUDY)/.ready: pyproject.toml
	$(call environment,study)

$(MUTANTS)/.ready: pyproject.toml
	$(call environment,mutants)

$(OLDEST)/.ready: pyproject.toml .ci/oldest.py
	$(call environment,dev,$(@D)/bin/python .ci/oldest.py dev)
