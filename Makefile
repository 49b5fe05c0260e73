PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
MINUTES ?= 60
DEMO := DYNAMIC_VISION_HOME=$(CURDIR)/.demo RESULTCACHING_HOME= DATA_HOME= MMAP_HOME= $(PY)

.PHONY: help demo docs baselines test test-slow test-explore slurm-test lint format bench faults stages clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(READY)  ## set up, then score two embedded models on the embedded dataset and write a report
	$(DEMO) score_fmri.py --model fake-net --datasets fake-fmri
	$(DEMO) score_fmri.py --model pixels --datasets fake-fmri
	$(DEMO) -m src report --output .demo/report

BASELINES := DYNAMIC_VISION_HOME=$(CURDIR)/.baselines RESULTCACHING_HOME= DATA_HOME= MMAP_HOME= $(PY)
baselines: $(READY)  ## score the models that need no download on all embedded data, and bundle the scores in the package
	for model in fake-net fake-image-net pixels motion-energy low-level autocorrelation; do \
		for scores in "fmri --datasets fake-fmri" "fmri --datasets fake-clips-fmri" \
			"electrodes --datasets fake-electrodes fake-mt" "task --tasks fake-action fake-selfmotion digits" \
			"behaviour --tasks fake-behaviour fake-behaviour-2afc"; do \
			$(BASELINES) -m src score $$scores --model $$model --quiet || exit 1; \
		done; done
	$(BASELINES) -m src report bundle --no-replicates --output src/report/baselines

test: $(READY)  ## set up, then run the quick tests
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -m "not slow and not slurm" -n 2 --dist loadfile --durations=10

test-slow: $(READY)  ## the tests that take longer
	tests/report/install.sh
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -m slow -n 2 --dist loadfile --durations=10

test-explore: $(READY)  ## the property tests on new examples, MINUTES=60 long, until one fails
	end=$$(($$(date +%s) + 60 * $(MINUTES))); while [ $$(date +%s) -lt $$end ]; do \
		OMP_NUM_THREADS=1 $(PY) -m pytest -q -m "not slow and not slurm" -n 2 --hypothesis-profile=explore \
		$$(grep -rl "from hypothesis" tests --include="test_*.py") || exit 1; done

docs: $(READY)  ## build the documentation site in site/, and fail on a warning or a broken link
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

lint: $(READY)  ## check style, imports and docstrings
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(READY)  ## apply the style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(READY)  ## the side-by-side measurements behind benchmarks/RESULTS.md
	$(PY) -m benchmarks.ridge --whole-run
	$(PY) -m benchmarks.extraction
	$(PY) -m benchmarks.cache
	$(PY) -m benchmarks.leak

faults: $(READY)  ## inject faults into the store and the inputs, and count lost and wrong values
	$(PY) -m benchmarks.faults
	$(PY) -m benchmarks.fault_inputs
	$(PY) -m benchmarks.fault_runs

# an environment without its .ready was not completed, and is installed again
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

stages: $(READY)  ## record the sources of the stages, after a decision on their versions; see CONTRIBUTING.md
	$(PY) -m tests.stages

clean:  ## remove what the demo wrote
	rm -rf .demo .baselines site

slurm-test: $(READY)  ## drive a grid through its accidents on a real one-node SLURM, with and without accounting
	tests/slurm/install.sh
	SLURM_TEST=1 $(PY) -m pytest -q -m slurm -n 2 --dist loadgroup --durations=5 tests/grid
