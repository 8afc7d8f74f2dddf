# Hearth's commands; `make` alone lists them. Set a variable behind the target: make serve REST_PORT=9000

REST_PORT = 8501
PORT      = 8500
HOST      = 127.0.0.1
WORKERS   = 1
MODELS    = models
DATA      = data/boston_housing.csv
TARGET    =
FEATURES  =
NAME      = $(if $(TARGET),$(basename $(patsubst %.gz,%,$(notdir $(DATA)))),housing)
FORCE     =
PEERS     =
QUICK     =
JOBS      = 2
RECIPE    =
ARGS      =
PYTHON    = python3
COMPOSE   = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

VENV    := .venv
BIN     := $(VENV)/bin
RUN     := $(VENV)/.installed-run
DEV     := $(VENV)/.installed-dev
INSTALL := requirements/install-venv
LISTS   := service training client
SCRIPTS := .ci/run requirements/install-venv requirements/install-python-parts requirements/install-system \
           deploy/wait-healthy
COMPILE := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help setup train promote rollback experiments serve lessons test unit integration e2e fuzz check format sbom audit bench soak picture up down lock clean system

help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  variables: REST_PORT PORT HOST WORKERS MODELS NAME DATA TARGET FEATURES RECIPE FORCE JOBS PYTHON, and ARGS"
	@echo "  for further flags; for example: make serve REST_PORT=9000 WORKERS=2"

setup: $(DEV) ## Make .venv with all that serving, training and testing need
	@echo "$(VENV) is complete"

train: $(RUN) ## Train a candidate; of your own table with DATA= TARGET= FEATURES= NAME=; RECIPE=best, FORCE=1 if not better too
	@exec $(BIN)/python -m training --data '$(DATA)' --models $(MODELS) --name $(NAME) $(if $(TARGET),--target '$(TARGET)') \
	  $(if $(FEATURES),--features '$(FEATURES)') $(if $(RECIPE),--recipe $(RECIPE)) $(if $(FORCE),--force) $(ARGS)

promote rollback: $(RUN)
	@$(BIN)/python -m training $@ --models $(MODELS) --name housing $(ARGS)

promote: ## Make the candidate stable, which is what callers get; ARGS=3 that version
rollback: ## Go back to the version that was stable before

experiments: $(RUN) ## Answer the exercises with runs; go on where the last call was stopped
	@exec $(BIN)/python -m training.experiments --data data/boston_housing.csv --docs docs $(ARGS)

serve: $(RUN) ## Serve the stable version on REST_PORT, the candidate beside it; train first if there is none
	@ls '$(MODELS)/$(NAME)'/[0-9]*/saved_model.pb >/dev/null 2>&1 || $(MAKE) --no-print-directory train ARGS=
	@$(BIN)/python -m training config --models $(MODELS) --name $(NAME) >/dev/null
	@exec $(BIN)/python -m service --rest_api_port=$(REST_PORT) --port=$(PORT) --host=$(HOST) --workers=$(WORKERS) \
	  --model_config_file=$(MODELS)/models.config --model_config_file_poll_wait_seconds=1 \
	  --default_version_label=stable $(ARGS)

lessons: $(MODELS)/lessons/models.config ## Serve the networks of docs/tutorial.md on REST_PORT
	@exec $(BIN)/python -m service --rest_api_port=$(REST_PORT) --port=$(PORT) --host=$(HOST) --workers=$(WORKERS) \
	  --model_config_file=$(MODELS)/lessons/models.config --prefer_tflite_model $(ARGS)

$(MODELS)/lessons/models.config: $(wildcard lessons/*.py) | $(RUN)
	@$(BIN)/python -m lessons export --folder $(MODELS)/lessons

test: $(DEV) system ## Run all tests, JOBS=2 files at once
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(ARGS)

unit integration e2e: $(DEV)
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile tests/$@ $(ARGS)

unit: ## Run the tests that need no TensorFlow and no socket
integration: ## Run the tests with TensorFlow, files and processes
e2e: system ## Run the tests of the whole stack

fuzz: $(DEV) ## Try decoders and fast lane on mangled input; ARGS="--seconds 600" longer
	@exec $(BIN)/python -m tests.fuzz $(ARGS)

sbom: $(DEV) ## Write what each part is made of as CycloneDX, into sbom/
	@mkdir -p sbom
	@for list in $(LISTS); do $(BIN)/cyclonedx-py requirements --output-reproducible \
	  -o sbom/hearth-$$list.cdx.json requirements/$$list.txt && echo "sbom/hearth-$$list.cdx.json"; done

audit: $(DEV) ## Ask whether vulnerabilities of the pinned packages are known; needs a network
	@for list in $(LISTS); do $(BIN)/pip-audit --require-hashes --disable-pip -r requirements/$$list.txt || exit 1; done

check: $(DEV) ## Check format, style, types and scripts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); \
	  else echo "shellcheck is not installed: the scripts were not checked"; fi

format: $(DEV) ## Format the code and put right what ruff can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(DEV) system ## Measure the service beside its peers; PEERS="flask fastapi" some, QUICK=1 in two minutes
	@ls $(MODELS)/housing/[0-9]*/saved_model.pb >/dev/null 2>&1 || $(MAKE) --no-print-directory train ARGS=
	@exec $(BIN)/python -m benchmarks all --model_base_path=$(MODELS)/housing $(if $(PEERS),--peers $(PEERS)) \
	  $(if $(QUICK),--quick,--output docs/benchmarks.md) $(ARGS)

soak: $(DEV) ## Ask a server for half an hour, with swaps and faults beside; ARGS="--seconds 60" shorter
	@ls $(MODELS)/housing/[0-9]*/saved_model.pb >/dev/null 2>&1 || $(MAKE) --no-print-directory train ARGS=
	@exec $(BIN)/python -m benchmarks.soak --model_base_path=$(MODELS)/housing --output docs/soak $(ARGS)

picture: $(DEV) system ## Take the README's picture of the page anew
	@ls $(MODELS)/housing/[0-9]*/saved_model.pb >/dev/null 2>&1 || $(MAKE) --no-print-directory train ARGS=
	@exec $(BIN)/python -m tests.picture $(MODELS) docs/page.png

up: ## Train, serve and watch in containers; wait until all are healthy
	@REST_PORT=$(REST_PORT) PORT=$(PORT) WORKERS=$(WORKERS) $(COMPOSE) up --build --detach $(ARGS)
	@deploy/wait-healthy $(COMPOSE)

down: ## Stop the containers; the volumes with models and metrics stay
	@$(COMPOSE) down

lock: $(DEV) ## Pin the packages of requirements/, tests/clients/ and the peers anew; ARGS=--upgrade for newer ones
	@export PATH="$(CURDIR)/$(BIN):$$PATH"; cd requirements; set -e; \
	  $(COMPILE) $(ARGS) dev.in -o dev.txt; \
	  for list in run service traces training client signing fetch hub scoring postgresql; do $(COMPILE) -c dev.txt $$list.in -o $$list.txt; done; \
	  $(COMPILE) --no-deps -c dev.txt protocol.in -o protocol.txt; \
	  for folder in tests/clients benchmarks/peers/requirements; do cd "$(CURDIR)/$$folder"; \
	    for list in *.in; do $(COMPILE) $(ARGS) $$list -o $${list%.in}.txt; done; done

clean: ## Remove .venv and caches; models stay
	@rm -rf $(VENV) .venv-clients .venv-peers .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "models stay: rm -r $(MODELS) removes them, '$(COMPOSE) down --volumes' those of the containers"

system:
	@requirements/install-system

# Missing or newer than what was installed, the interpreter makes both below out of date.
$(BIN)/python: ;

# dev.txt holds all of run.txt in the same versions, so that installing it does for both.
$(RUN): requirements/run.txt $(BIN)/python
	@$(INSTALL) $(VENV) "$(PYTHON)" run
	@touch $@

$(DEV): requirements/dev.txt $(BIN)/python
	@$(INSTALL) $(VENV) "$(PYTHON)" dev
	@touch $@ $(RUN)
