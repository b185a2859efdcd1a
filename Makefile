# The common jobs. `make` lists them; PYTHON=python3.13 picks the interpreter, VENV=... another folder for its packages.
PYTHON ?= python3
VENV ?= .venv
IMAGE ?= slipway:dev
MODELS ?= models
UV ?= uv
CLUSTER ?= slipway
NAMESPACE ?= models
HOST_PORT ?= 8080
PROMETHEUS_IMAGE ?= slipway-prometheus:test
POSTGRESQL_IMAGE ?= slipway-postgresql:test
HELM ?= helm
CHART_TESTS ?= tests/chart
SIEGE ?= 1

bin := $(VENV)/bin
pip := $(bin)/pip --disable-pip-version-check --quiet
version = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' service/slipway/__init__.py)
revision = $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

on_kind := --context kind-$(CLUSTER)
helm_on_kind := $(HELM) --kube-context kind-$(CLUSTER) --namespace $(NAMESPACE)
need = @command -v $(1) >/dev/null || { echo "make: $(1) is missing; install $(2) first" >&2; exit 1; }

export DOCKER_BUILDKIT := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run check test sources-test frames-test siege-test soak-test lint format docs bench bench-quick bench-log lock dist clean image image-compiled image-test \
	metrics-test database-test docker-engine \
	load-generator manifests chart-test scan kind-up kind-load kind-deploy kind-test kind-down prometheus-image postgresql-image cluster-test operators-test

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(MODELS)/iris ## serve the iris example on http://127.0.0.1:8000 (sets everything up first)
	$(bin)/slipway serve --models $(MODELS)

check: lint ## what a commit needs, in under two minutes: style, types, and the tests of the structure, the docs and OpenAPI
	$(bin)/python -m pytest --numprocesses 2 --dist worksteal tests/contract tests/http/test_protocol.py

# The tests of real servers run by themselves: they load the machine and watch the clock.
test: $(VENV)/dev.stamp ## run the tests that need Python alone; TESTS=tests/unit runs some of them
ifdef TESTS
	$(bin)/python -m pytest $(TESTS)
else
	$(bin)/python -m pytest --numprocesses 2 --dist worksteal --ignore tests/http/test_frames.py tests/unit tests/http tests/contract bench/tests
	$(bin)/python -m pytest --durations 20 tests/server
endif

frames-test: $(VENV)/dev.stamp ## test that frames of every pandas dtype are answered as their estimators do (FRAMES_EXAMPLES=50000: an hour or two)
	$(bin)/python -m pytest --numprocesses 2 --dist worksteal tests/http/test_frames.py

siege-test: $(VENV)/dev.stamp ## besiege a server: bodies judged three ways, sequences of requests that break off; SIEGE=10 for ten times as many
	SIEGE=$(SIEGE) $(bin)/python -m pytest tests/siege -k "not hostile"

soak-test: $(VENV)/dev.stamp ## measure honest clients with and without hostile ones for a minute, on a quiet machine; SIEGE=10 for ten
	SIEGE=$(SIEGE) $(bin)/python -m pytest tests/siege -k hostile

lint: $(VENV)/dev.stamp ## check style and types
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy

format: $(VENV)/dev.stamp ## mend what ruff can mend by itself
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

docs: $(VENV)/dev.stamp ## write the generated files under docs/ anew
	$(bin)/python docs/generate.py

bench: load-generator $(VENV)/bench.stamp ## measure Slipway beside the others for 90 minutes (needs wrk); BENCH=--help lists options
	$(VENV)-bench/bin/python -m bench $(BENCH)

bench-quick: load-generator $(VENV)/bench.stamp ## show in a few minutes that the benchmark runs (needs wrk)
	$(VENV)-bench/bin/python -m bench --quick $(BENCH)

bench-log: load-generator $(VENV)/bench.stamp ## measure what the prediction log costs (needs wrk and PostgreSQL's server)
	$(VENV)-bench/bin/python -m bench.log $(BENCH)

# Packages of its own: the rivals.
$(VENV)/bench.stamp: $(VENV)/made.stamp bench/requirements.lock requirements-build.lock pyproject.toml
	@echo "Installing the locked packages of the benchmark into $(VENV)-bench"
	@$(PYTHON) -m venv $(VENV)-bench
	@$(VENV)-bench/bin/pip --disable-pip-version-check --quiet install --require-hashes -r bench/requirements.lock -r requirements-build.lock
	@$(VENV)-bench/bin/pip --disable-pip-version-check --quiet install --no-build-isolation --no-deps --editable .
	@touch $@

dist: $(VENV)/dev.stamp ## build the wheel and the source distribution into dist/
	$(bin)/python -m hatchling build

image: docker-engine ## build the container image slipway:dev (needs Docker)
	$(call build,--build-arg VERSION=$(version) --build-arg REVISION=$(revision) -t $(IMAGE) .)

image-compiled: docker-engine ## build slipway:dev-compiled, for models that are all compiled: without scikit-learn (needs Docker)
	$(call build,--target compiled --build-arg VERSION=$(version) --build-arg REVISION=$(revision) -t $(IMAGE)-compiled .)

image-test: $(VENV)/dev.stamp image image-compiled ## build the images and test them (needs Docker and curl)
	@command -v curl >/dev/null || { echo "make: curl is missing; install it first" >&2; exit 1; }
	IMAGE=$(IMAGE) $(bin)/python -m pytest tests/image

database-test: $(VENV)/dev.stamp ## test the prediction log on a PostgreSQL of its own (needs PostgreSQL's server and openssl; as root ip and iptables, too)
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null \
		|| { echo "make: initdb is missing; on Debian: apt-get install postgresql" >&2; exit 1; }
	$(call need,openssl,OpenSSL)
	$(bin)/python -m pytest tests/database

sources-test: $(VENV)/dev.stamp ## fetch models from real servers: S3, GCS, Azure, an OCI registry, MLflow (needs their programs)
	$(call need,versitygw,versitygw (go install github.com/versity/versitygw/cmd/versitygw@v1.8.0))
	$(call need,fake-gcs-server,fake-gcs-server (go install github.com/fsouza/fake-gcs-server@v1.56.1))
	$(call need,azurite-blob,Azurite (npm install azurite))
	$(call need,registry,distribution's registry (go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2))
	$(call need,mlflow,MLflow (pip install mlflow xgboost-cpu lightgbm in an environment of its own))
	$(bin)/python -m pytest --timeout 600 tests/sources

metrics-test: $(VENV)/dev.stamp ## check /metrics with promtool (needs Prometheus' promtool)
	@command -v promtool >/dev/null || { echo "make: promtool is missing; on Debian: apt-get install prometheus" >&2; exit 1; }
	$(bin)/python -m pytest tests/promtool

manifests: $(VENV)/dev.stamp ## write the chart's README and deploy/k8s anew (needs helm)
	$(call need,$(HELM),Helm)
	HELM=$(HELM) $(bin)/python deploy/manifests.py

chart-test: $(VENV)/dev.stamp ## test the chart without a cluster (needs helm, kubectl, promtool, openssl)
	$(call need,$(HELM),Helm)
	$(call need,kubectl,kubectl)
	$(call need,promtool,Prometheus)
	$(call need,openssl,OpenSSL)
	HELM=$(HELM) $(bin)/python -m pytest --numprocesses 2 $(CHART_TESTS)

scan: $(VENV)/scan.stamp ## look for insecure settings with checkov and hadolint (needs helm)
	$(call need,$(HELM),Helm)
	rm -rf build/scan && mkdir -p build/scan/server build/scan/test
	cp Dockerfile build/scan/server/
	for way in default production keys-and-tls fetch keda log log-volume; do \
		$(HELM) template iris deploy/helm/slipway --namespace models --kube-version 1.34 --no-hooks \
			--values deploy/helm/slipway/ci/$$way-values.yaml > build/scan/server/$$way.yaml || exit 1; \
	done
	$(HELM) template iris deploy/helm/slipway --namespace models --kube-version 1.34 \
		--show-only templates/tests/predict.yaml > build/scan/test/predict.yaml
	$(HELM) template iris deploy/helm/slipway --namespace models --kube-version 1.34 --values deploy/helm/slipway/ci/log-values.yaml \
		--show-only templates/job-log-migrate.yaml --show-only templates/networkpolicy-log.yaml > build/scan/server/log-migrate.yaml
	$(VENV)-scan/bin/checkov --config-file deploy/checkov.yaml --directory build/scan/server
	$(VENV)-scan/bin/checkov --config-file deploy/checkov-test-pod.yaml --directory build/scan/test
	$(VENV)-scan/bin/hadolint --failure-threshold style Dockerfile tests/cluster/*/Dockerfile

# Packages of its own: checkov wants older versions of what the service uses.
$(VENV)/scan.stamp: $(VENV)/made.stamp deploy/scan.lock
	$(PYTHON) -m venv $(VENV)-scan
	$(VENV)-scan/bin/pip --disable-pip-version-check --quiet install --require-hashes -r deploy/scan.lock
	@touch $@

kind-up: docker-engine ## start a cluster of three nodes in Docker (needs kind); HOST_PORT=8081 is another port of this machine
	$(call need,kind,kind)
	sed 's/hostPort: 8080/hostPort: $(HOST_PORT)/' deploy/kind.yaml | kind create cluster --name $(CLUSTER) --config - $(if $(KIND_IMAGE),--image $(KIND_IMAGE)) --wait 2m

kind-load: ## put the image onto its nodes
	kind load docker-image $(IMAGE) --name $(CLUSTER)

kind-deploy: ## install the chart there, in a namespace that enforces the restricted standard (needs helm and kubectl)
	$(call need,$(HELM),Helm)
	$(call need,kubectl,kubectl)
	kubectl $(on_kind) get namespace $(NAMESPACE) >/dev/null 2>&1 || kubectl $(on_kind) create namespace $(NAMESPACE)
	kubectl $(on_kind) label --overwrite namespace $(NAMESPACE) pod-security.kubernetes.io/enforce=restricted
	# The tag stays when the image changes; the annotation makes the pods follow.
	$(helm_on_kind) upgrade --install iris deploy/helm/slipway --values deploy/helm/slipway/ci/nodeport-values.yaml \
		--set image.tag=$(lastword $(subst :, ,$(IMAGE))) --set podAnnotations.image-id=$$(docker image inspect --format '{{.Id}}' $(IMAGE)) --wait

kind-test: ## predict, from inside the cluster and through the node port
	$(helm_on_kind) test iris --logs
	curl -sS --fail-with-body http://127.0.0.1:$(HOST_PORT)/predict -H 'Content-Type: application/json' -d '{"features": [5.1, 3.5, 1.4, 0.2]}'
	@echo

kind-down: ## remove the cluster
	kind delete cluster --name $(CLUSTER)

prometheus-image: docker-engine ## build the Prometheus that cluster-test runs, and put it onto the nodes
	$(call build,-t $(PROMETHEUS_IMAGE) tests/cluster/prometheus)
	kind load docker-image $(PROMETHEUS_IMAGE) --name $(CLUSTER)

postgresql-image: docker-engine ## build the PostgreSQL that cluster-test runs, and put it onto the nodes
	$(call build,-t $(POSTGRESQL_IMAGE) tests/cluster/postgresql)
	kind load docker-image $(POSTGRESQL_IMAGE) --name $(CLUSTER)

cluster-test: $(VENV)/dev.stamp ## test the chart on the cluster of kubectl (needs helm, metrics-server, the three images on the nodes)
	$(call need,$(HELM),Helm)
	$(call need,kubectl,kubectl)
	HELM=$(HELM) PROMETHEUS_IMAGE=$(PROMETHEUS_IMAGE) POSTGRESQL_IMAGE=$(POSTGRESQL_IMAGE) \
		IMAGE=$(IMAGE) $(bin)/python -m pytest --timeout 600 --durations 20 tests/cluster

operators-test: $(VENV)/dev.stamp ## test the chart with prometheus-operator and KEDA, which run in the cluster of kubectl (needs helm, the image on the nodes)
	$(call need,$(HELM),Helm)
	$(call need,kubectl,kubectl)
	HELM=$(HELM) IMAGE=$(IMAGE) $(bin)/python -m pytest --timeout 900 tests/operators

lock: ## resolve the dependencies anew into the lock files (needs uv)
	@command -v $(UV) >/dev/null || { echo "make: uv is missing; pip install uv" >&2; exit 1; }
	$(call compile,requirements.lock,pyproject.toml --extra cloudpickle --extra mlflow --extra onnx --extra skops --extra sources)
	$(call compile,requirements-dev.lock,pyproject.toml --group dev -c requirements.lock)
	$(call compile,requirements-build.lock,--group build -c requirements-dev.lock)
	$(call compile,bench/requirements.lock,pyproject.toml --extra cloudpickle --extra compile --extra mlflow --extra skops --extra sources bench/requirements.in -c requirements-dev.lock)
	$(call compile,deploy/compiled.lock,deploy/compiled.in -c requirements.lock)
	$(call compile,deploy/scan.lock,deploy/scan.in)

compile = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --output-file $(1) $(2)

clean: ## remove the packages, caches and builds; models stay
	rm -rf $(VENV) $(VENV)-bench $(VENV)-scan build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .schemathesis
	find service tests docs bench -name __pycache__ -type d -prune -exec rm -rf {} +

# Packages of Docker may leave out the part that builds, and its own message names no package.
build = docker build $(1) || { docker buildx version >/dev/null 2>&1 || echo "make: Docker's buildx is missing; on Debian or Ubuntu:" \
	"apt-get install docker-buildx (or docker-buildx-plugin, from Docker's own packages)" >&2; exit 1; }

docker-engine:
	@command -v docker >/dev/null || { echo "make: docker is missing; install Docker first" >&2; exit 1; }
	@docker info >/dev/null 2>&1 || { echo "make: the Docker engine does not answer; is it running, and may you use it?" >&2; exit 1; }

load-generator:
	@command -v wrk >/dev/null || { echo "make: wrk is missing; on Debian or Ubuntu: apt-get install wrk" >&2; exit 1; }

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
