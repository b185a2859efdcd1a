# The common jobs. `make` lists them; PYTHON=python3.13 picks the interpreter, VENV=... another folder for its packages.
PYTHON ?= python3
VENV ?= .venv
IMAGE ?= slipway:dev
MODELS ?= models
UV ?= uv

bin := $(VENV)/bin
pip := $(bin)/pip --disable-pip-version-check --quiet
version = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' service/__init__.py)
revision = $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

export DOCKER_BUILDKIT := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint format docs lock dist clean image image-test metrics-test docker-engine

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(MODELS)/iris ## serve the iris example on http://127.0.0.1:8000 (sets everything up first)
	$(bin)/slipway serve --models $(MODELS)

# The tests of real servers run by themselves: they load the machine and watch the clock.
test: $(VENV)/dev.stamp ## run the tests that need Python alone; TESTS=tests/unit runs some of them
ifdef TESTS
	$(bin)/python -m pytest $(TESTS)
else
	$(bin)/python -m pytest --numprocesses 2 --dist worksteal tests/unit tests/http tests/contract
	$(bin)/python -m pytest tests/server
endif

lint: $(VENV)/dev.stamp ## check style and types
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy

format: $(VENV)/dev.stamp ## mend what ruff can mend by itself
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

docs: $(VENV)/dev.stamp ## write the generated files under docs/ anew
	$(bin)/python docs/generate.py

dist: $(VENV)/dev.stamp ## build the wheel and the source distribution into dist/
	$(bin)/python -m hatchling build

image: docker-engine ## build the container image slipway:dev (needs Docker)
	docker build --build-arg VERSION=$(version) --build-arg REVISION=$(revision) -t $(IMAGE) .

image-test: $(VENV)/dev.stamp image ## build the image and test it (needs Docker and curl)
	@command -v curl >/dev/null || { echo "make: curl is missing; install it first" >&2; exit 1; }
	IMAGE=$(IMAGE) $(bin)/python -m pytest tests/image

metrics-test: $(VENV)/dev.stamp ## check /metrics with promtool (needs Prometheus' promtool)
	@command -v promtool >/dev/null || { echo "make: promtool is missing; on Debian: apt-get install prometheus" >&2; exit 1; }
	$(bin)/python -m pytest tests/promtool

lock: ## resolve the dependencies anew into the lock files (needs uv)
	@command -v $(UV) >/dev/null || { echo "make: uv is missing; pip install uv" >&2; exit 1; }
	$(call compile,requirements.lock,pyproject.toml)
	$(call compile,requirements-dev.lock,pyproject.toml --group dev -c requirements.lock)
	$(call compile,requirements-build.lock,--group build -c requirements-dev.lock)

compile = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --output-file $(1) $(2)

clean: ## remove the packages, caches and builds; models stay
	rm -rf $(VENV) dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .schemathesis
	find service tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

docker-engine:
	@command -v docker >/dev/null || { echo "make: docker is missing; install Docker first" >&2; exit 1; }
	@docker info >/dev/null 2>&1 || { echo "make: the Docker engine does not answer; is it running, and may you use it?" >&2; exit 1; }

# The packages, installed again only when a lock changes.
$(VENV)/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make: $(PYTHON) must be Python 3.11 or newer; another one: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "make: $(PYTHON) cannot make virtual environments; on Debian or Ubuntu:" \
		"apt-get install $$($(PYTHON) -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))')" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run.stamp: $(VENV)/made.stamp requirements.lock requirements-build.lock pyproject.toml
	@echo "Installing the locked packages into $(VENV) (about a minute the first time)"
	@$(pip) install --require-hashes -r requirements.lock -r requirements-build.lock
	@$(pip) install --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements-dev.lock
	@echo "Installing the locked packages of the tests into $(VENV)"
	@$(pip) install --require-hashes -r requirements-dev.lock
	@touch $@

$(MODELS)/iris: | $(VENV)/run.stamp
	$(bin)/slipway example iris --output $(MODELS)
