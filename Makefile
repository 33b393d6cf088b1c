# Everything to do with this project on one machine. `make` lists it.
# Needs make and Python 3.11 or newer, and gcc for one drill; .ci/venv makes .venv and installs into it what a target asks for.

PORT ?= 4500
BIN := .venv/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test check bench drill clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

run: ## work through the example and keep serving until Ctrl-C (PORT=4500; ONCE=1 ends when the work is done)
	@.ci/venv run
	@exec $(BIN)/botswain example --port $(PORT) $(if $(filter 1,$(ONCE)),--once)

test: ## run all tests (ARGS="-k mariadb" and the like; servers that are not installed are skipped)
	@.ci/venv test
	@$(BIN)/pytest --numprocesses=auto --dist=worksteal -q -rfEs $(ARGS)

check: ## look for mistakes without running: style, types, direction of imports
	@.ci/venv test  # the tests are typed, too
	@.ci/venv check
	@failed=; \
	for tool in "ruff check" "ruff format --check" "mypy" "lint-imports"; do \
		echo "== $$tool"; $(BIN)/$$tool || failed="$$failed$$tool; "; \
	done; \
	if [ "$$failed" ]; then echo "failed: $${failed%; }" >&2; exit 1; fi

bench: ## measure, as JSON lines; every figure is a ratio to something measured in the same run
	@.ci/venv test
	@$(BIN)/python -m tests.benchmarks $(ARGS)

drill: ## hurt a cluster and judge it, an hour or two; a table, and JSON lines (ARGS="kills --times 1000"; NICE=10)
	@.ci/venv test
	@nice -n $(or $(NICE),0) $(BIN)/python -m tests.drill $(ARGS)

clean: ## remove what can be made again: .venv, caches, builds (the data in .botswain stay)
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .schemathesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
