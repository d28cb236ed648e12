# Everything a developer runs. Needs Python with pip, a C compiler, and nothing else: each target makes what it uses.

PYTHON ?= python3
ARGS ?=
WORKERS ?= auto
REPEAT ?= 5
SECONDS ?= 300
CC ?= cc

VENV := .venv
PY := $(VENV)/bin/python
# The package, and what its tests and benchmarks need.
TESTED := $(VENV)/.installed $(VENV)/.test

# Folders too: one in which a file was deleted has changed. Not src itself, where builds leave what they make.
SOURCES := setup.py pyproject.toml $(wildcard MANIFEST.in README.md LICENSE) \
	$(shell find src/_* src/stichotrope \( -name __pycache__ -o -name '*.c' \) -prune -o -print 2>/dev/null)

# What the caller's shell has set up must not reach the environment made here.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# An instrumented package in build/NAME/lib, to be put before the installed one; modules that are gone must not stay.
build_core = find build/$(1)/lib -name '*.py' -delete 2>/dev/null; \
	CC="$(CC)" $(PY) setup.py --quiet build --build-base build/$(1) --build-lib build/$(1)/lib
# Tests of the wheel's content look at the one that make has just built.
export STICHOTROPE_DIST := $(CURDIR)/build/wheel
PYTEST := $(PY) -m pytest
# Tests in several processes, each of which takes from another what that has not begun; with WORKERS=0 all in one.
PARALLEL := -n $(WORKERS) --dist worksteal
# What runs all tests that say yes or no: those of make test and of make test-all.
BOTH_TIERS := -m "not (stress or slow or performance or browser or frameworks or prometheus or engines)"
# Sanitizers map fixed addresses, which a randomised address space may already have taken.
FIXED_ADDRESSES := $(shell setarch -R true 2>/dev/null && echo setarch -R)
preload = $(FIXED_ADDRESSES) env LD_PRELOAD="$$($(CC) -print-file-name=$(1))"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-all browser prometheus frameworks engines decorated stress soak fuzz lint format coverage bench bench-check pictures conformance docs wheel sdist tsan asan valgrind clean FORCE

help: ## this list
	@echo 'make TARGET [PYTHON=python3.13] [ARGS="..."]'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'
	@echo
	@echo '  PYTHON  the interpreter to use; another one than last time makes $(VENV) again'
	@echo '  ARGS    passed on: to pytest by test, test-all, stress, coverage, tsan, asan and valgrind;'
	@echo '          to the program by demo, decorated, bench and bench-check'
	@echo '  WORKERS processes of make test and make test-all (now $(WORKERS): one for each processor; 0: none but one)'
	@echo '  REPEAT  rounds of make stress (now $(REPEAT)) and of make soak (50 unless given)'
	@echo '  SECONDS how long make fuzz looks (now $(SECONDS))'

demo: $(VENV)/.installed ## profile a real program; the report, CSV and JSON also go to build/demo
	$(PY) examples/stdlib_census.py --output-dir build/demo $(ARGS)

test: $(TESTED) ## run the tests against the built and installed wheel
	$(PYTEST) $(PARALLEL) $(ARGS)

test-all: $(TESTED) ## run the second tier: what make test leaves out, but for stress and browser
	$(PYTEST) $(PARALLEL) -m "extended and not (stress or slow or performance or browser or frameworks or prometheus or engines)" $(ARGS)

browser: $(TESTED) $(VENV)/.browser build/speedscope/package/package.json ## look at the HTML report in Chromium, and at the speedscope export in speedscope
	@$(PY) -c 'from benchmarks.html import chromium; chromium()' 2> /dev/null \
		|| $(call system_packages,chromium fonts-dejavu-core) \
		|| echo 'Chromium could not be installed: install it, or set CHROMIUM to its path'
	$(PYTEST) -m browser $(ARGS)

prometheus: $(TESTED) build/prometheus/.unpacked ## run the example service under a real Prometheus, and hold what that shows against what was done
	$(PYTEST) -m prometheus tests/service $(ARGS)

frameworks: build/frameworks/.installed ## run programs over some fifty other packages bare and marked, in an environment of their own
	build/frameworks/bin/python -m pip install --quiet --force-reinstall --no-deps build/wheel/*.whl
	build/frameworks/bin/python -m pytest $(PARALLEL) -p no:cacheprovider -m frameworks tests/frameworks $(ARGS)

# Those that are there for Python 3.12; ENGINES_PYTHON is another one, where the engines have wheels for it.
ENGINES_PYTHON ?= python3.12
engines: build/engines/.installed ## start Dask, Ray, Spark, Celery, joblib and MPI, and gather what their workers record
	@command -v java > /dev/null || $(call system_packages,default-jre-headless) \
		|| echo 'Java could not be installed: install it, or the test of Spark is left out'
	build/engines/bin/python -m pip install --quiet --force-reinstall --no-deps --no-build-isolation .
	PATH="$(CURDIR)/build/engines/bin:$$PATH" build/engines/bin/python -m pytest -p no:cacheprovider -m engines tests/engines tests/test_docs.py $(ARGS)

decorated: build/wheel/.built ## decorate each function of seventeen packages from PyPI, and hold their own tests against those of the bare ones
	$(PY) tools/decorated.py $(ARGS)

stress: $(TESTED) ## run the large tests, REPEAT rounds, each in a new random order
	@for round in $$(seq $(REPEAT)); do \
		echo "Round $$round of $(REPEAT)"; \
		$(PYTEST) -m "stress or slow" $(ARGS) || exit 1; \
	done

# Every other round, threads take turns as often as the interpreter can let them.
soak: REPEAT = 50
soak: $(TESTED) ## run all tests 50 times in random order, half of them with frantic switching; stop at a failure
	@for round in $$(seq $(REPEAT)); do \
		seed=$$($(PY) -c 'import random; print(random.randrange(2**32))'); \
		interval=$$([ $$((round % 2)) = 0 ] && echo 1e-6); \
		echo "Round $$round of $(REPEAT), seed $$seed, switch interval $${interval:-as usual}"; \
		STICHOTROPE_TEST_SWITCH_INTERVAL=$$interval $(PYTEST) $(BOTH_TIERS) -q -x -p no:cacheprovider --randomly-seed=$$seed $(ARGS) || { \
			echo "Again: STICHOTROPE_TEST_SWITCH_INTERVAL=$$interval make test WORKERS=0 ARGS='$(subst ",\",$(BOTH_TIERS)) -x --randomly-seed=$$seed'"; exit 1; }; \
	done

fuzz: $(TESTED) $(VENV)/.fuzz ## fuzz the reader of result files for SECONDS; new inputs go to build/fuzz
	@mkdir -p build/fuzz
	$(PY) tests/fuzz/fuzz_results_file.py build/fuzz -max_total_time=$(SECONDS) -print_final_stats=1 $(ARGS)

lint: $(VENV)/.lint ## check style, formatting and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m mypy --allow-untyped-defs --allow-incomplete-defs --allow-untyped-calls --allow-untyped-decorators --no-warn-return-any --no-warn-unused-ignores --disable-error-code attr-defined tests

format: $(VENV)/.lint ## put the sources into the project's format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# Without exceptions at any moment: one that comes while coverage holds its own lock leaves it held. Without slopes of
# memory: coverage keeps something of each thread.
coverage: $(TESTED) $(VENV)/.coverage ## fail when under 95 % of the lines of the Python or the Cython are run
	export STICHOTROPE_COVERAGE=1; $(call build_core,coverage)
	@find build/coverage -name '*.gcda' -delete && rm -f build/coverage/data*
	PYTHONPATH="$(CURDIR)/build/coverage/lib" $(PY) -m coverage run -m pytest $(BOTH_TIERS) -k "not exceptions_at_any_moment and not no_slope" $(ARGS)
	$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report; python=$$?; echo; \
		$(PY) tools/core_coverage.py build/coverage --fail-under 95 && exit $$python

bench: $(TESTED) $(VENV)/.peers $(VENV)/.browser ## measure what a pass costs, beside floors and other tools; writes docs/performance.*, README, CONTRIBUTING
	$(PY) -m benchmarks $(ARGS)
	$(PY) -m benchmarks page

bench-check: $(TESTED) ## compare a short run with the newest stored one; fail when a pass has become dearer
	$(PY) -m benchmarks check $(ARGS)

pictures: $(TESTED) ## draw the pictures in docs/pictures, of real runs; needs Chromium
	$(PY) tools/pictures.py

conformance: $(TESTED) $(VENV)/.conformance ## run the conformance programs under each tool; writes docs/conformance.*
	$(PY) -m tools.conformance $(ARGS)

docs: $(TESTED) $(VENV)/.docs ## build the site into build/site
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

wheel: build/wheel/.built ## build a wheel into dist/
	mkdir -p dist && cp build/wheel/*.whl dist/

sdist: $(VENV)/.build ## build a source distribution into dist/
	$(PY) -m build --no-isolation --sdist --quiet --outdir dist

# A sanitizer writes to the real stderr, which pytest would otherwise keep to itself.
# A signal that is to kill a process kills it: the sanitizer sees to none. Without the test of what a fork warns of: its
# runtime has a thread.
tsan: $(TESTED) ## run the tests with ThreadSanitizer in the core
	export STICHOTROPE_SANITIZE=thread; $(call build_core,tsan)
	$(call preload,libtsan.so) PYTHONPATH="$(CURDIR)/build/tsan/lib" \
		TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1:die_after_fork=0:handle_segv=0:suppressions=$(CURDIR)/tools/tsan.supp" \
		$(PYTEST) $(BOTH_TIERS) --capture=sys -k "not a_forked_child_has_a_file" $(ARGS)

# Without greenlets: they copy whole stretches of the C stack, with the zones between variables that must not be read.
# Without plots: matplotlib throws exceptions of C++, which its runtime cannot pass on in a program of C.
# Without forks among threads that allocate: its own allocator's lock may be held by one that is not in the child.
asan: $(TESTED) ## run the tests with AddressSanitizer and UndefinedBehaviorSanitizer in the core
	export STICHOTROPE_SANITIZE=address,undefined; $(call build_core,asan)
	$(call preload,libasan.so) PYTHONPATH="$(CURDIR)/build/asan/lib" PYTHONMALLOC=malloc \
		ASAN_OPTIONS="detect_leaks=0:handle_segv=0" UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1" \
		$(PYTEST) $(BOTH_TIERS) --capture=sys -k "not greenlet and not gevent and not a_fork_from_a_thread and not test_bench_page" $(ARGS)

valgrind: $(TESTED) ## run the tests under Valgrind's memcheck
	export STICHOTROPE_DEBUG=1; $(call build_core,valgrind)
	PYTHONPATH="$(CURDIR)/build/valgrind/lib" PYTHONMALLOC=malloc \
		valgrind --quiet --leak-check=full --show-leak-kinds=definite --num-callers=16 \
		--xml=yes --xml-file=build/valgrind/report.xml $(PYTEST) $(BOTH_TIERS) $(ARGS)
	$(PY) tools/valgrind_report.py build/valgrind/report.xml

clean: ## remove everything that make has made
	rm -rf $(VENV) build dist wheelhouse src/*.egg-info src/_core.c .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- the environment, and the package in it -------------------------------------------------------------------

# Runs each time, writes only when the interpreter is another one: so what follows is remade only then.
$(VENV)/.interpreter: FORCE
	@"$(PYTHON)" tools/environment.py $(VENV)

EXTRAS = build test bench $(filter-out test,$(patsubst .%,%,$(@F)))
$(VENV)/.build: EXTRAS = build
$(VENV)/.build $(VENV)/.test $(VENV)/.lint $(VENV)/.coverage $(VENV)/.browser $(VENV)/.docs $(VENV)/.conformance: $(VENV)/.interpreter pyproject.toml tools/requirements.py
	@$(PY) tools/requirements.py $(EXTRAS) > $@.txt
	$(PY) -m pip install --quiet -r $@.txt
	@touch $@

# One by one: a tool that cannot be had for this interpreter is said to be missing, and stops nothing else.
$(VENV)/.peers: $(VENV)/.interpreter pyproject.toml tools/requirements.py
	@$(PY) tools/requirements.py peers > $@.txt
	@while read -r tool; do \
		$(PY) -m pip install --quiet "$$tool" || echo "Going on without $$tool"; \
	done < $@.txt
	@touch $@

# One by one where all together cannot be had: what is missing for this interpreter is said, and its programs left out.
build/frameworks/.installed: $(VENV)/.interpreter build/wheel/.built tests/frameworks/requirements.txt
	"$(PYTHON)" -m venv --clear build/frameworks
	build/frameworks/bin/python -m pip install --quiet rich pytest-xdist
	build/frameworks/bin/python -m pip install --quiet -r tests/frameworks/requirements.txt \
		|| grep -v '^#' tests/frameworks/requirements.txt | while read -r package; do \
			build/frameworks/bin/python -m pip install --quiet "$$package" || echo "Going on without $$package"; \
		done
	@touch $@

# The wheel of the other targets is for another Python: this one builds its own.
build/engines/.installed: tests/engines/requirements.txt pyproject.toml tools/requirements.py
	"$(ENGINES_PYTHON)" -m venv --clear build/engines
	"$(ENGINES_PYTHON)" tools/requirements.py build > build/engines/build.txt
	build/engines/bin/python -m pip install --quiet -r build/engines/build.txt
	build/engines/bin/python -m pip install --quiet rich pytest pytest-randomly hypothesis markdown-it-py
	build/engines/bin/python -m pip install --quiet -r tests/engines/requirements.txt
	@touch $@

# Made for up to 3.13 only; for others there is `make test`, which has a part of it.
$(VENV)/.fuzz: $(VENV)/.interpreter
	$(PY) -m pip install --quiet --only-binary :all: 'atheris>=2.3'
	@touch $@

# Where there is apt-get; elsewhere these are found when they are installed already.
system_packages = { command -v apt-get > /dev/null && $$([ "$$(id -u)" = 0 ] || echo sudo) apt-get install --yes --no-install-recommends $(1); }

# Debian's package, unpacked and not installed; elsewhere an installed one is found.
build/prometheus/.unpacked:
	@mkdir -p build/prometheus
	@command -v prometheus > /dev/null || (cd build/prometheus && apt-get download --quiet prometheus \
		&& dpkg -x prometheus_*.deb . && rm -f prometheus_*.deb)
	@touch $@

# The web application as its authors publish it, for the test that opens our export in it.
build/speedscope/package/package.json:
	@command -v npm > /dev/null || $(call system_packages,npm)
	@rm -rf build/speedscope && mkdir -p build/speedscope
	cd build/speedscope && npm pack --silent speedscope@1.25.0 && tar -xzf speedscope-*.tgz
	@touch $@

# The wheel comes out of the sdist, not out of the tree: so the sdist is shown to be complete each time.
build/wheel/.built: $(SOURCES) $(VENV)/.build
	@rm -rf build/wheel && mkdir -p build/wheel
	@echo 'Building the wheel (log: build/wheel/build.log)'
	@$(PY) -m build --no-isolation --outdir build/wheel > build/wheel/build.log 2>&1 \
		|| { cat build/wheel/build.log; exit 1; }
	@grep -E '(pyx|h|c):[0-9:]+.*(warning|error)' build/wheel/build.log || true
	@touch $@

$(VENV)/.installed: build/wheel/.built
	$(PY) -m pip install --quiet --force-reinstall --no-deps build/wheel/*.whl
	@touch $@
