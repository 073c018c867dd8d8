# Everything a newcomer needs: `make demo`, then `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
STAMP := $(VENV)/.installed
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
MAKEFLAGS += --no-print-directory
PROTOS := $(shell find protos -name '*.proto')
RELEASED := released.binpb
NODE_CLIENT := clients/node
NODE_REQUIRED ?=
NODE_IS_NEW_ENOUGH := const [major, minor] = process.versions.node.split(".").map(Number); \
  process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)
BOB_IS_NODE := $(findstring --bob node,$(ARGS))$(findstring --bob=node,$(ARGS))

# Runs a script of the client in TypeScript. Without Node.js, or without its packages, says so and passes; fails with
# NODE_REQUIRED=1.
define node
@if ! command -v npm > /dev/null || ! node -e '$(NODE_IS_NEW_ENOUGH)'; then \
  echo "$(1) of $(NODE_CLIENT) is left out: it needs Node.js 20.19 or newer, from https://nodejs.org or apt-get install nodejs npm"; \
  $(if $(NODE_REQUIRED),exit 1,true); \
elif ! test -d $(NODE_CLIENT)/node_modules; then \
  echo "$(1) of $(NODE_CLIENT) is left out: its packages are not there. This gets them: make extras"; $(if $(NODE_REQUIRED),exit 1,true); \
else cd $(NODE_CLIENT) && npm run --silent $(1); fi
endef

.DEFAULT_GOAL := help
.PHONY: help demo cluster test test-node node-packages pythons milestones matrix repeat threats fuzz histories chaos soak mutants \
  lint fix docs site gen gen-check vectors stubs release-contract bench plots up extras clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# On stderr: what a command prints on stdout may be for a program. The environment of an older Python is made anew.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c '$(IS_NEW_ENOUGH)' 2> /dev/null || { echo "Python 3.11 or newer is needed, and $(PYTHON) is not:" \
	  "name another, as in make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV)" >&2
	@$(BIN)/python -c '$(IS_NEW_ENOUGH)' 2> /dev/null || $(PYTHON) -m venv --clear $(VENV) >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]' >&2
	@touch $@

demo: $(STAMP) $(if $(BOB_IS_NODE),node-packages) ## Run the story, e.g. ARGS="--text Hi --image me.png", ARGS="--bob node", ARGS=--cluster
	$(if $(BOB_IS_NODE),$(call node,build))
	@$(if $(filter --cluster,$(ARGS)),$(BIN)/python -m tests.cluster.demo $(subst --cluster,,$(ARGS)),$(BIN)/interopsim demo $(ARGS))

test: $(STAMP) ## Run every test, then hold the ledger to what they proved; ARGS="-k prekeys" runs a part
	@$(if $(strip $(ARGS)),,$(MAKE) node-packages)
	@$(BIN)/pytest -n auto --maxprocesses 4 $(ARGS)
	$(if $(strip $(ARGS)),,$(call node,test))
	@$(if $(strip $(ARGS)),,$(BIN)/pytest tests/ledger)

test-node: $(STAMP) node-packages ## Build the client in TypeScript and run its own tests
	$(call node,test)

# Where npm is and has them. Where it has not, tests that need them say so.
node-packages:
	@! command -v npm > /dev/null || test $(NODE_CLIENT)/node_modules/.package-lock.json -nt $(NODE_CLIENT)/package-lock.json \
	  || npm ci --loglevel error --fetch-retries 1 --prefix $(NODE_CLIENT) > /dev/null \
	  || echo "npm has not got the packages of $(NODE_CLIENT), as it says above"

pythons: $(STAMP) ## Try the wheel with each of Python 3.12, 3.13 and 3.14 that is there
	@$(BIN)/pytest tests/packaging/other_pythons.py $(ARGS)

milestones: $(STAMP) ## Go through Meta's six milestones with the SDK, check by check; ARGS=--json
	@$(BIN)/interopsim conformance client --command "$(BIN)/python -m interop_driver" --scope milestone $(ARGS)

matrix: $(STAMP) ## Judge every wrong client and partner's server with the whole conformance kit; ARGS=acks_before_saving
	@$(BIN)/python -m tests.conformance.matrix $(ARGS)
	@$(BIN)/python -m tests.conformance.matrix_partners $(ARGS)

repeat: $(STAMP) ## Judge the SDK with the whole kit again and again, and print the flake rate; ARGS="--runs 50"
	@$(BIN)/python -m tests.conformance.repeat $(ARGS)

threats: $(STAMP) ## Attack a running server in the ways T1 to T30 and print what held; ARGS=--json for machines
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

cluster: $(STAMP) ## Start three nodes that are one world, with PostgreSQL, NATS and S3; ARGS="--nodes 2"
	@$(BIN)/python -m tests.cluster $(ARGS)

lint: $(STAMP) ## Check style, types, import contracts, protos, and what CI systems and containers read
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code
	$(if $(wildcard protos/$(RELEASED)),cd protos && ../$(BIN)/buf breaking --against $(RELEASED),@echo "no contract was released yet")
	$(BIN)/hadolint Dockerfile
	bash -n ci/simulator.sh
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.gitlab-ci ci/gitlab.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml compose.cluster.yaml
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(call node,lint)

fix: $(STAMP) ## Format the code and the protos
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd protos && ../$(BIN)/buf format --write
	$(call node,format)

docs: $(STAMP) ## Write what the documents repeat of docs/requirements.toml
	@$(BIN)/python -m tests.ledger.docs
	@$(BIN)/python -m tests.docs.command_page

site: $(STAMP) ## Build the site of the documents into site/; a link that leads nowhere fails
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@$(BIN)/python -m tests.docs.site

vectors: $(STAMP) ## Write protos/vectors anew: what a client computes, for other languages; the same bytes every time
	@$(BIN)/python -m tests.vectors.write

stubs: $(STAMP) ## Generate and compile the contract's stubs in four languages; ARGS=--install gets the compilers
	@$(BIN)/python -m tests.stubs $(ARGS)

release-contract: $(STAMP) ## Keep the contract as released: from then on `make lint` refuses what breaks it
	cd protos && ../$(BIN)/buf build --exclude-source-info --output $(RELEASED)

gen: $(STAMP) ## Write the reasons in errors.proto, and generate from protos/ the stubs in Python and in TypeScript
	@$(BIN)/python -m tests.ledger.reasons
	@find protos/python/interop_api -name '*_pb2*' -delete
	@$(BIN)/python -m grpc_tools.protoc -Iprotos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc --python_out=protos/python \
	  --grpc_python_out=protos/python --mypy_out=quiet:protos/python --mypy_grpc_out=quiet:protos/python \
	  $(PROTOS)
	@find protos/python/interop_api -name '*_pb2_grpc.py*' | xargs grep -L 'Servicer_to_server' | xargs -r rm
	$(call node,generate)

gen-check: gen ## Fail when reasons or generated code are not what the table and the protos say
	git diff --exit-code --stat -- protos/interop_api/v1/errors.proto protos/python/interop_api $(NODE_CLIENT)/src/gen
	@test -z "$$(git ls-files --others --exclude-standard protos/python/interop_api $(NODE_CLIENT)/src/gen)"

extras: $(STAMP) ## Get what some tests use besides: Helm, and where npm and apt-get have them a browser, HAProxy, packages for Node.js
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,deploy]' \
	  || echo "Helm's library is not there: the chart is not tried"
	@if ! command -v npm > /dev/null; then echo "npm is not there: no driver in Node.js, and no client in TypeScript"; \
	  else $(MAKE) node-packages; npm ci --loglevel error --prefix tests/conformance/node_driver > /dev/null || \
	  echo "npm has not got the packages of tests/conformance/node_driver, as it says above: no driver in Node.js"; fi
	@command -v chromium > /dev/null || { command -v apt-get > /dev/null && apt-get install -qq -y chromium > /dev/null; } \
	  || echo "Chromium is not there: the report is not looked at"
	@command -v haproxy > /dev/null || { command -v apt-get > /dev/null && apt-get install -qq -y haproxy > /dev/null; } \
	  || echo "HAProxy is not there: the balancer is not tried"

clean: ## Remove the environment and caches
	rm -rf $(VENV) $(NODE_CLIENT)/dist .site site .cache .stubs .evidence .mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
