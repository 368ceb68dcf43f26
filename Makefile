# Two commands on a fresh machine, with nothing but python3 and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test long docs matrix mutants coverage lint types pages bench bench-sequences fuzz attack release-check clean

demo: $(VENV)/demo
	$(BIN)/python examples/digits.py

# Two processes share two cores: threads of a BLAS in each would only wait for one another. Tests use the NumPy kernels
# unless they choose; those of the fused ones do, and hold them against the others.
test: $(VENV)/dev lint
	OPENBLAS_NUM_THREADS=1 DEEPBP_KERNELS=numpy $(BIN)/python -m pytest --numprocesses 2

# The tests that `make test` leaves out, because they take long: more seeds, kills and trainings.
long: $(VENV)/dev
	OPENBLAS_NUM_THREADS=1 DEEPBP_KERNELS=numpy $(BIN)/python -m pytest --numprocesses 2 -m long

# The documentation as a site, in output/site; a warning, such as of a link that leads nowhere, is an error.
docs: $(VENV)/dev
	$(BIN)/python -m sphinx -j 1 -q -W --keep-going docs output/site

# The numerical tests with other BLAS kernels, threads, package versions and Pythons; ARGS="Nehalem 3.12" selects some.
matrix: $(VENV)/dev
	$(BIN)/python tests/matrix.py $(ARGS)

# Mutation testing of parts of the package, which takes hours; ARGS="--sample 20 deepbp/testing" for 20 mutations of one.
mutants: $(VENV)/dev
	$(BIN)/python tests/mutants.py $(ARGS)

# The tests, and how much of the package they reach: at least 95 % of lines and branches.
coverage: $(VENV)/dev
	OPENBLAS_NUM_THREADS=1 DEEPBP_KERNELS=numpy $(BIN)/python -m pytest --numprocesses 2 --cov --cov-report term

lint: $(VENV)/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(MAKE) --jobs 2 types pages docs

types: $(VENV)/dev
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

# The code of the README, of the pages and of the examples, as users type-check it.
pages: $(VENV)/dev
	$(BIN)/python tests/typing/checkers.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }  # half an environment would pass for a whole one
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[examples]"
	touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

# An environment of its own: the peers bring packages that nothing else here needs.
BENCH := .venv-bench

bench: $(BENCH)/done
	$(BENCH)/bin/python -m benchmarks.run $(ARGS)

# The tables of the page on images and sequences, in five minutes.
bench-sequences: $(BENCH)/done
	$(BENCH)/bin/python -m benchmarks.images_and_sequences $(ARGS)

$(BENCH)/done: pyproject.toml benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --upgrade pip
	$(BENCH)/bin/python -m pip install --quiet --editable ".[fast]" --requirement benchmarks/requirements.txt
	$(BENCH)/bin/python -m pip install --quiet torch==2.13.0+cpu || echo "no PyTorch for the processor alone: left out"
	touch $@

# The reader of files against mutated ones, for SECONDS; what it finds, it writes to output/. Where atheris is offered: on Linux.
SECONDS ?= 60

fuzz: $(VENV)/dev
	mkdir -p output
	$(BIN)/python tests/files/fuzz_reader.py output/fuzz -max_total_time=$(SECONDS) -artifact_prefix=output/

# Random attacks, each for 150 seconds: hostile files, saves beside one another, and others; SEED=1 for another campaign.
SEED ?= 0

attack: $(VENV)/dev
	for attack in $(filter-out tests/attacks/test_%,$(wildcard tests/attacks/*.py)); do \
		$(BIN)/python $$attack --seconds 150 --seed $(SEED) || exit 1; \
	done

# What must be right before a release: the files that users get, each tried in a place of its own.
release-check: $(VENV)/dev
	$(BIN)/python tests/release_check.py

clean:
	rm -rf $(VENV) $(BENCH) .venv-lowest .venv-matrix-* output dist
