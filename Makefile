# Everything a newcomer needs: `make demo`, then `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
STAMP := $(VENV)/.installed
PROTOS := $(shell find protos -name '*.proto')
RELEASED := released.binpb

.DEFAULT_GOAL := help
.PHONY: help demo test milestones matrix threats fuzz histories chaos soak mutants lint fix docs gen gen-check stubs \
  release-contract bench plots up extras clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## Run the story end to end, e.g. ARGS="--text Hi --image me.png"
	@$(BIN)/interopsim demo $(ARGS)

test: $(STAMP) ## Run every test, then hold the ledger to what they proved; ARGS="-k prekeys" runs a part
	@$(BIN)/pytest -n auto --maxprocesses 4 $(ARGS)
	@$(if $(strip $(ARGS)),,$(BIN)/pytest tests/ledger)

milestones: $(STAMP) ## Go through Meta's six milestones with the SDK, check by check; ARGS=--json
	@$(BIN)/interopsim conformance client --command "$(BIN)/python -m interop_driver" --scope milestone $(ARGS)

matrix: $(STAMP) ## Judge every wrong client and partner's server with the whole conformance kit; ARGS=acks_before_saving
	@$(BIN)/python -m tests.conformance.matrix $(ARGS)
	@$(BIN)/python -m tests.conformance.matrix_partners $(ARGS)

threats: $(STAMP) ## Attack a running server in the ways T1 to T29 and print what held; ARGS=--json for machines
	@$(BIN)/python -m tests.threats $(ARGS)

fuzz: $(STAMP) ## Fire generated messages at every RPC and stanza; ARGS="--examples 50000 -k prekeys"
	@$(BIN)/python -m tests.fuzz $(ARGS)

histories: $(STAMP) ## Play random stories of a few people against a model; ARGS="--count 10000", ARGS="--replay FILE"
	@$(BIN)/python -m tests.histories $(ARGS)

chaos: $(STAMP) ## Kill a server under load at every commit point and check all that it acked; ARGS="--kills 1000"
	@$(BIN)/python -m tests.chaos $(ARGS)

soak: $(STAMP) ## Load a server for an hour and say whether its memory grows; ARGS="--minutes 20"
	@$(BIN)/python -m tests.soak $(ARGS)

mutants: $(STAMP) ## Change the code in one place at a time and name what no test notices; ARGS="--sample 50 --room core/keys"
	@$(BIN)/python -m tests.mutants $(ARGS)

bench: $(STAMP) ## Measure, each figure beside its ceiling; ARGS=--json for machines
	@$(BIN)/python -m tests.bench $(ARGS)

plots: $(STAMP) ## Measure and draw throughput over batches and pairs, and latency over load; minutes long
	@$(BIN)/pip install --quiet --disable-pip-version-check 'matplotlib>=3.11,<4'
	@$(BIN)/python -m tests.bench.plots $(ARGS)

up: $(STAMP) ## Start the simulator, e.g. ARGS="--db sim.db"
	@$(BIN)/interopsim up $(ARGS)

lint: $(STAMP) ## Check style, types, import contracts and protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code
	$(if $(wildcard protos/$(RELEASED)),cd protos && ../$(BIN)/buf breaking --against $(RELEASED),@echo "no contract was released yet")
	$(BIN)/lint-imports
	$(BIN)/mypy

fix: $(STAMP) ## Format the code and the protos
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd protos && ../$(BIN)/buf format --write

docs: $(STAMP) ## Write what the documents repeat of docs/requirements.toml
	@$(BIN)/python -m tests.ledger.docs

stubs: $(STAMP) ## Generate and compile the contract's stubs in four languages; ARGS=--install gets the compilers
	@$(BIN)/python -m tests.stubs $(ARGS)

release-contract: $(STAMP) ## Keep the contract as released: from then on `make lint` refuses what breaks it
	cd protos && ../$(BIN)/buf build --exclude-source-info --output $(RELEASED)

gen: $(STAMP) ## Write the reasons in errors.proto, and generate protos/python/interop_api from protos/
	@$(BIN)/python -m tests.ledger.reasons
	@find protos/python/interop_api -name '*_pb2*' -delete
	@$(BIN)/python -m grpc_tools.protoc -Iprotos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc --python_out=protos/python \
	  --grpc_python_out=protos/python --mypy_out=quiet:protos/python --mypy_grpc_out=quiet:protos/python \
	  $(PROTOS)
	@find protos/python/interop_api -name '*_pb2_grpc.py*' | xargs grep -L 'Servicer_to_server' | xargs -r rm

gen-check: gen ## Fail when reasons or generated code are not what the table and the protos say
	git diff --exit-code --stat -- protos/interop_api/v1/errors.proto protos/python/interop_api
	@test -z "$$(git ls-files --others --exclude-standard protos/python/interop_api)"

extras: ## Get what some tests use beside Python, where npm and apt-get have it: a browser, and packages for Node.js
	@command -v npm > /dev/null && npm ci --silent --prefix tests/conformance/node_driver || echo "npm is not there: no driver in Node.js"
	@command -v chromium > /dev/null || { command -v apt-get > /dev/null && apt-get install -qq -y chromium > /dev/null; } \
	  || echo "Chromium is not there: the report is not looked at"

clean: ## Remove the environment and caches
	rm -rf $(VENV) .stubs .evidence .mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
