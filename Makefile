# Everything here works on a fresh machine with Python 3.11 or newer and make, and works again.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
STAMP  := $(VENV)/.installed
INSTALL = $(PYTHON) tools/sagamesh_tools/install.py $(VENV) constraints.txt

.PHONY: demo install test test-faults-short test-faults test-simulation test-decided test-kubernetes test-prometheus test-node test-images test-participants images mutants bench soak check manifests format clean
.DEFAULT_GOAL := demo

demo: $(STAMP)             ## 50 orders over four services, with crashes; `make demo SVG=docs/demo.svg` draws the last screen
	$(BIN)/sagamesh demo $(if $(SVG),--svg $(SVG))

install: $(STAMP)          ## what all of these need, into .venv: two minutes, and says what it does meanwhile
	@echo 'installed: `. $(BIN)/activate`, then `sagamesh --help`'

test: $(STAMP)             ## what every change must pass, without a cluster, JOBS at once, within six minutes; `make test ARGS="-k diamond --seed 7"` passes arguments on
	$(BIN)/pytest --numprocesses $(JOBS) --dist worksteal -m 'not fault' $(ARGS)

test-faults-short: $(STAMP) ## the fault catalogue (docs/faults.md), a short form of each: four minutes
	$(BIN)/pytest --numprocesses $(JOBS) --dist worksteal tests/nats/faults $(ARGS)

test-simulation: $(STAMP)  ## 2,000 schedules of every shape of saga, and some of this day: five minutes
	$(BIN)/pytest --numprocesses $(JOBS) --dist worksteal tests/simulation --schedules 2000 $(ARGS)

test-decided: $(STAMP)     ## ten rows of "Where is it decided?" (docs/architecture.md): their tests fail where their functions raise
	$(BIN)/python -m sagamesh_tools.decided $(ARGS)

test-faults: $(STAMP)      ## the fault catalogue (docs/faults.md) at full length: an hour
	$(BIN)/pytest --full --timeout 1800 tests/nats/faults $(ARGS)

test-kubernetes: $(STAMP)  ## against a real API server, which Go builds at first: five minutes, once
	PYTHONPATH=tests $(BIN)/python -m support.servers.programs
	$(BIN)/pytest --numprocesses $(JOBS) --dist worksteal tests/kubernetes -m 'not alone' $(ARGS) || test $$? = 5
	$(BIN)/pytest tests/kubernetes -m alone $(ARGS) || test $$? = 5  # what measures has the machine to itself; 5: none is asked for

test-prometheus: $(STAMP)  ## metrics, alerts and dashboard, by a real Prometheus out of Debian's package
	PYTHONPATH=tests $(BIN)/python -m support.servers.prometheus
	$(BIN)/pytest tests/prometheus $(ARGS)

test-node: $(STAMP)        ## on a real node of this machine, as root: docs/install.md, then restarts under load: eight minutes, once twelve more
	PYTHONPATH=tests $(BIN)/python -m support.node $(ARGS)

test-images: $(STAMP)      ## what each image installs, in an environment of its own, as the image's user: a minute
	$(BIN)/pytest tests/images $(ARGS)

test-participants: $(STAMP) ## the snippets of docs/participants.md as services, on a real PostgreSQL, where their tools are: a minute
	$(BIN)/pytest tests/participants $(ARGS)

images:                    ## build the images by docker or buildah, if one is there; `make images REGISTRY=ghcr.io/me TAG=0.1.0 BUILDER=buildah`
	@images/build.sh $(or $(REGISTRY),sagamesh) $(or $(TAG),dev)

mutants: $(STAMP)          ## drawn changes of a module, each of which a test must see; `make mutants MODULE=sagamesh.protocol.decision SEED=7 COUNT=30`
	$(BIN)/python -m sagamesh_tools.mutation $(MODULE) --jobs $(JOBS) $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT))

bench: $(VENV)/.bench      ## sagas per second beside the floor; `make bench SVG=docs/performance.svg` draws them
	$(BIN)/python -m sagamesh_bench bench $(if $(SVG),--svg $(SVG))

soak: $(STAMP)             ## a steady rate with crashes; `make soak MINUTES=60 RATE=50`
	$(BIN)/python -m sagamesh_bench soak --minutes $(or $(MINUTES),10) --rate $(or $(RATE),100)

check: $(STAMP)            ## format, lint, types, imports, what is made of the code, the chart, and the examples' sagas
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m sagamesh_tools check
	$(BIN)/sagamesh check examples/*/*.yaml

manifests: $(STAMP)        ## write what is made of code and chart: the resource, its reference, metrics, examples, the dashboard, manifests, the chart's README
	$(BIN)/python -m sagamesh_tools write

format: $(STAMP)           ## put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:                     ## remove what was installed and cached
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@$(INSTALL) '.[cli,operator,dev]'
	@touch $@

$(VENV)/.bench: $(STAMP)
	@$(INSTALL) '.[bench]'
	@touch $@
