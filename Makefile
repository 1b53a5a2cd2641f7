PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow nightly chaos serve screenshots bench bench-scale study check lint types imports docs docs-check audit constraints clean
# One thread for each process and what it starts: more threads than cores only wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

help:  ## print the targets
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## draw a synthetic season, analyse it from images to report, and score a new date
	$(BIN)/harvest demo

test: $(INSTALLED)  ## run the quick tests: under five minutes; no server, database or browser
	$(PYTEST)

test-slow: $(INSTALLED)  ## run the slow tests, of servers, browsers, buckets, Dask and killed processes: a quarter of an hour; needs PostgreSQL and Chromium
	$(PYTEST) -m 'slow and not nightly'

nightly: $(INSTALLED)  ## run the tests that are too long for every change, and properties on more examples; needs PostgreSQL
	$(PYTEST) -m nightly
	$(PYTEST) -m 'hypothesis and not slow and not nightly' --hypothesis-profile thorough

serve: $(INSTALLED)  ## start the service on this host, until Ctrl-C: database, Prefect server, reports, workers
	deployments/start

chaos: $(INSTALLED)  ## kill processes, lose the power and take shares away while the service works, and compare tables: half an hour; needs PostgreSQL
	$(BIN)/python -m tests.operations.chaos

screenshots: demo  ## pictures of the demo's report and the Prefect UI, into docs/pictures; needs PostgreSQL and Chromium
	$(BIN)/python -m tests.browser.pictures harvest-demo/store/reports/demo-shortcut-0/index.html
	$(BIN)/python -m tests.operations.screenshots

bench: $(INSTALLED)  ## compare speed and results with the usual libraries: half an hour on a quiet machine
	$(BIN)/python -m tests.benchmarks

bench-scale: $(INSTALLED)  ## measure time and memory of every stage at 1,000, 10,000 and 100,000 plant-dates, and of reading an orthophoto of 4 GB: half an hour on a quiet machine
	$(BIN)/python -m tests.benchmarks.scale
	$(BIN)/python -m tests.benchmarks.scale_orthophoto

study: $(INSTALLED)  ## study decisions on 1,600 campaigns in feature space (a quarter of an hour) and 60 of images (two hours)
	$(BIN)/python -m tests.benchmarks.feature_study --campaigns 200
	$(BIN)/python -m tests.benchmarks.study
	$(BIN)/python -m tests.benchmarks.checks_study

check: lint types imports docs-check test test-slow  ## run everything that CI runs

lint: $(INSTALLED)  ## check style and format with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)  ## check types with pyright
	$(BIN)/pyright

imports: $(INSTALLED)  ## check the order of layers and packages
	$(BIN)/lint-imports

docs: $(INSTALLED)  ## write the reference pages of the documentation from the code
	$(BIN)/python -m docs.generate

docs-check: $(INSTALLED)  ## check that the documentation agrees with the code
	$(BIN)/pytest -q tests/unit/docs

audit:  ## report known vulnerabilities of the pinned packages, where the data on them can be reached; never fails
	.ci/audit

# torch and torchvision come together from the default index: builds of different kinds do not import together.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -c 'import tasks.classify.architectures'
	@touch $@

constraints: $(INSTALLED)  ## pin what is installed now, after a change of pyproject.toml and an upgrade
	(echo '# Every dependency, direct and indirect, at the version that was tested. Made by `make constraints`.'; \
	 $(BIN)/python -m pip freeze --all --exclude-editable | grep == | grep -v ^pip==) > constraints.txt

clean:  ## remove everything that make has made
	rm -rf .venv .venv-virelay .venv-audit build harvest-demo harvest-store *.egg-info .pytest_cache .ruff_cache .hypothesis
