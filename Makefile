# Everything runs in .venv, made here when it is missing or older than pyproject.toml or
# constraints.txt. Another Python: make PYTHON=python3.12 test

PYTHON ?= python3

# What `make demo` shows: any photo, a click and a box in its pixels.
PHOTO ?= docs/pictures/coffee.jpg
CLICK ?= 365,270
BOX ?= 170,15,412,310

# How many processes run the tests; each computes in one thread. Each begins with a half and takes
# some of another's when it is done, so what is made once for a module is not made in both. What
# fails beside others has to pass alone: now and then a test that ends other processes takes that of
# pytest-xdist with it.
WORKERS ?= --numprocesses 2 --dist worksteal
BESIDE := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile \
	--constraint constraints.txt
# Byte code by all processors, where pip would make it in one process. Some files of packages are
# templates or tests of syntax errors: they stay as they are.
COMPILE := $(BIN)/python -W ignore -m compileall -qq -j 0 .venv/lib || true

# What the page is built and tested with, where there is Node.js; its tests are left out elsewhere.
PAGE_TOOLS := $(if $(shell command -v npm),web/node_modules/.installed)

.PHONY: help demo check style types guards test tests examples coverage web docs dist extras clean

help:
	@echo "make demo   cut a photo by click, box and everything; pictures in demo-out/"
	@echo "make check  format, lint, types and the guards of the house"
	@echo "make test   all tests but those marked slow or gpu"
	@echo "make coverage  the same, and how much of the code they run"
	@echo "make web    the page of anymask studio, into src/anymask/serve/page/; needs Node.js"
	@echo "make docs   the documentation as a site, in site/"
	@echo "make dist   the wheel and the source distribution, in dist/"
	@echo "make extras each extra alone in an empty environment, and its tests there: an hour"
	@echo "make clean  remove .venv, caches, demo-out/ and site/"

demo: .venv/.installed
	$(BIN)/anymask segment $(PHOTO) --point $(CLICK) --output demo-out/click --overwrite
	$(BIN)/anymask segment $(PHOTO) --box $(BOX) --output demo-out/box --overwrite
	$(BIN)/anymask everything $(PHOTO) --output demo-out/everything --overwrite
	@echo "The pictures are in demo-out/: click/, box/ and everything/."

check: style types guards

style: .venv/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/.installed-dev
	$(BIN)/mypy

guards: .venv/.installed-dev $(PAGE_TOOLS)
	$(BESIDE) $(BIN)/python -m pytest --quiet tests/guards

test: tests examples

tests: .venv/.installed-dev $(PAGE_TOOLS)
	$(BESIDE) $(BIN)/python -m pytest --quiet --ignore=tests/guards $(COVER) $(WORKERS) || \
		$(BESIDE) $(BIN)/python -m pytest --quiet --last-failed --ignore=tests/guards $(COVER)

examples: .venv/.installed-dev
	$(BESIDE) $(BIN)/python -m pytest --quiet --doctest-modules src $(COVER)

# Half as long again, because each line is counted.
coverage: .venv/.installed-dev
	$(BIN)/python -m coverage erase
	$(MAKE) --jobs=1 test COVER='--cov --cov-append --cov-report='
	$(BIN)/python -m coverage report

web: web/node_modules/.installed
	npm --prefix web run --silent types
	npm --prefix web run --silent build

docs: .venv/.installed-docs
	$(BIN)/python recipes/docs_commands.py
	$(BIN)/zensical build --clean --strict

dist: .venv/.installed-dev
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

extras: dist
	$(BIN)/python recipes/try_extras.py dist/*.whl

clean:
	rm -rf .venv demo-out site web/node_modules web/build dist .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing anymask into .venv (torch is most of it; a minute or two)"
	$(INSTALL) --editable '.[image]'
	@$(COMPILE)
	@touch $@

.venv/.installed-dev: .venv/.installed
	@echo "Installing the tools for checks and tests into .venv"
	$(INSTALL) --editable '.[image,eval,inpaint,diffusion,video,export,openvino,serve,label,notebook,dev]'
	@$(COMPILE)
	@touch $@

.venv/.installed-docs: .venv/.installed
	@echo "Installing what builds the documentation into .venv"
	$(INSTALL) --editable '.[image,docs]'
	@$(COMPILE)
	@touch $@

# Without a network the page's tests are left out; they say so.
web/node_modules/.installed: web/package-lock.json
	npm --prefix web ci --ignore-scripts --no-audit --no-fund --silent && touch $@ || \
		echo "The tools of the page cannot be installed: its tests will be left out"
