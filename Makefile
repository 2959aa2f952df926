# make demo    compare five models; make test    run the tests; both install first if needed
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin
PLUGINS := $(sort $(wildcard plugins/ganzoo-*))
INSTALLED := $(VENV)/.installed
OLDEST_PYTHON ?= python3.11
OLDEST_VENV ?= .venv-oldest
OLDEST_INSTALLED := $(OLDEST_VENV)/.installed

.PHONY: install dist demo test test-oldest test-scaffold test-slow test-kills coverage mutants fuzz lint format bench bench-relativistic docs clean

install: $(INSTALLED)

# The core, every plugin and the development tools, in editable mode.
$(INSTALLED): pyproject.toml $(PLUGINS:=/pyproject.toml)
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(RUN)/python -m pip install --quiet --group dev --editable . $(addprefix --editable ./,$(PLUGINS))
	touch $@

DEMO := mlp-gan dcgan vae autoencoder argmax

demo: $(INSTALLED)
	$(RUN)/ganzoo compare $(DEMO:%=recipes/digits-%.toml) evaluate.samples=2_000 \
		--seeds 2 --budget iterations=1500

# Two processes test, and start others: threads would only wait for each other.
test test-oldest test-scaffold test-slow test-kills coverage mutants: export OMP_NUM_THREADS := 1

test: $(INSTALLED)
	$(RUN)/python -m pytest --numprocesses 2

# Like `install`, with the oldest versions admitted, and without mypy.
$(OLDEST_INSTALLED): constraints/oldest.txt pyproject.toml $(PLUGINS:=/pyproject.toml)
	test -x $(OLDEST_VENV)/bin/python || $(OLDEST_PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(OLDEST_VENV)/bin/python -m pip install --quiet --constraint constraints/oldest.txt \
		--group test --editable . $(addprefix --editable ./,$(PLUGINS))
	touch $@

# All tests, with the oldest Python and the oldest versions of the dependencies.
test-oldest: $(OLDEST_INSTALLED)
	$(OLDEST_VENV)/bin/python -m pytest --numprocesses 2

# A new plugin of each kind: made, installed, tested, run and removed; four minutes.
test-scaffold: $(INSTALLED)
	$(RUN)/python -m pytest --numprocesses 2 -m scaffold tests/scaffold

# Ten thousand recipes that are changed at random, a thousand damaged folders of runs and thousands
# of files of weights, other ones each time; a quarter of an hour.
fuzz: $(INSTALLED)
	GANZOO_FUZZ_EXAMPLES=10000 $(RUN)/python -m pytest tests/fuzz --capture=no

# Training that goes well raises no alarm; a minute.
test-slow: $(INSTALLED)
	$(RUN)/python -m pytest --numprocesses 2 -m slow tests

# A hundred kills of runs and comparisons, or GANZOO_KILLS of them, and a table; a quarter of an hour.
test-kills: $(INSTALLED)
	$(RUN)/python -m pytest --numprocesses 2 -m kills tests/kills

# All packages, to be published: dist/ has a wheel and a source distribution of each, checked.
dist: $(INSTALLED)
	$(RUN)/python -m pip install --quiet --group release
	rm -rf dist
	for project in . $(PLUGINS); do \
		$(RUN)/python -m build --no-isolation --outdir dist $$project || exit; \
	done
	$(RUN)/twine check --strict dist/*

# All tests, and which branches of ganzoo/ they take, in every process that they start.
coverage: $(INSTALLED)
	$(RUN)/python -m pip install --quiet --group coverage
	$(RUN)/python -m coverage erase
	$(RUN)/python -m coverage run -m pytest --numprocesses 2
	$(RUN)/python -m coverage combine --quiet
	$(RUN)/python -m coverage report

# Mutants that the tests notice, of losses, schedules, recipe, checkpoints and split; all take hours,
# `make mutants SAMPLE=40` a sample of each group.
mutants: $(INSTALLED)
	$(RUN)/python -m pip install --quiet --group mutation
	$(RUN)/python tests/mutation $(if $(SAMPLE),--sample $(SAMPLE))

lint: $(INSTALLED)
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

format: $(INSTALLED)
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

# Speed of the tutorial's MLP-GAN on MNIST against loops written by hand; needs MNIST.
bench: $(INSTALLED)
	$(RUN)/python tests/benchmarks/mlp_gan.py

# Quality of mnist-relativistic against the same training written by hand; needs MNIST, 40 minutes.
bench-relativistic: $(INSTALLED)
	$(RUN)/python tests/benchmarks/relativistic.py

# docs/recipes.md, from the classes that check recipes.
docs: $(INSTALLED)
	$(RUN)/python docs/generate.py

clean:
	rm -rf $(VENV) $(OLDEST_VENV) dist runs
