PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test serve chaos screenshots bench bench-scale study check lint types imports docs constraints clean

demo: $(INSTALLED)  ## draw a synthetic season and analyse it from images to report
	$(BIN)/harvest demo

# Two processes, and one thread for each of them and what they start: more threads than cores only wait for each other.
test: $(INSTALLED)  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

serve: $(INSTALLED)  ## the service on this host, until Ctrl-C: database, Prefect server, reports, workers; see deployments/README.md
	deployments/start

chaos: $(INSTALLED)  ## kill the service's processes at random moments and compare tables: a quarter of an hour; needs PostgreSQL
	$(BIN)/python -m tests.operations.chaos

screenshots: demo  ## pictures of the demo's report and the Prefect UI, into docs/pictures; needs PostgreSQL and Chromium
	$(BIN)/python -m tests.browser.pictures harvest-demo/store/reports/demo-shortcut-0/index.html
	$(BIN)/python -m tests.operations.screenshots

bench: $(INSTALLED)  ## compare speed and results with the usual libraries: half an hour on a quiet machine
	$(BIN)/python -m tests.benchmarks

bench-scale: $(INSTALLED)  ## time and memory of every stage at 1,000, 10,000 and 100,000 plant-dates: half an hour on a quiet machine
	$(BIN)/python -m tests.benchmarks.scale

study: $(INSTALLED)  ## thirty synthetic campaigns: the README's tables of accuracy and scores; an hour and a half on two cores
	$(BIN)/python -m tests.benchmarks.study

check: lint types imports test  ## everything CI runs

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/pyright

imports: $(INSTALLED)
	$(BIN)/lint-imports

docs: $(INSTALLED)  ## write the reference pages of the documentation from the code
	$(BIN)/python -m docs.generate

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

clean:
	rm -rf .venv build harvest-demo harvest-store *.egg-info .pytest_cache .ruff_cache .hypothesis
