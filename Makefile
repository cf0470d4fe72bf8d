# make run        environment, install, then all of assignment 11 on the embedded data
# make test       environment, install, every notebook, every check
# make slow       the tests of the slow cells (continuous integration runs them after `make test`)
# make cuda       the tests of the cells for a GPU
# make pretend    the tests of every notebook on a pretended GPU (needs Linux and a C compiler)
# make full       every training of the book at full length, and its notebooks (ARGS='--data cifar10 --results results-cifar10 --jobs 5')
# make lab        JupyterLab on the notebooks
# make browser    the widgets in JupyterLab in headless Chromium
# make notebooks  run every notebook from top to bottom (ONLY=nbs/21_assignment11.ipynb: that one)
# make docs       the site, in _docs (needs Quarto)
# make bench      30_benchmarks, side by side with the peers
# make readme, make sidebar    files that are made from the notebooks

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
export NO_ALBUMENTATIONS_UPDATE = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

SHELL = bash
.SHELLFLAGS = -o pipefail -c
# pip, saying only which of the large packages it is at
PIP = $(BIN)/pip install --progress-bar off
# what results are checked against; without their dependencies, which would hold numpy back
REFERENCES = grad-cam ttach captum torch-lr-finder torchmetrics lightning-utilities
LARGE = sed -unE 's/^ *(Downloading|Using cached) ([^ ]+) (\([0-9]{2,}[0-9.]* [MG]B\)).*/  \2 \3/p; /^ERROR/p'

.PHONY: run test slow cuda pretend full lab browser notebooks docs bench readme sidebar clean

run: $(VENV)/.run
	@$(BIN)/eva_train assignment11 --data shapes --width 16 --batch_size 128 $(ARGS)

test: $(VENV)/.dev
	@$(BIN)/python .ci/check.py

slow: $(VENV)/.dev
	@$(BIN)/python .ci/check.py --slow

cuda: $(VENV)/.dev
	@$(BIN)/python .ci/check.py --cuda

pretend: $(VENV)/.dev
	@$(BIN)/python .ci/check.py --pretend

full: $(VENV)/.dev
	@$(BIN)/python .ci/full.py $(ARGS)

lab: $(VENV)/.dev
	@$(BIN)/jupyter lab nbs

browser: $(VENV)/.dev
	@$(BIN)/python .ci/browser.py

# by default into _notebooks, so that the outputs that are kept stay; KEEP=1 puts the new ones in their place
notebooks: $(VENV)/.dev
	TQDM_DISABLE=1 $(BIN)/jupyter nbconvert --to notebook --execute \
	  $(if $(KEEP),--inplace,--output-dir _notebooks) $(or $(ONLY),nbs/[012]*.ipynb nbs/index.ipynb)
	$(if $(KEEP),$(BIN)/nbdev_clean)

docs: $(VENV)/.dev
	@command -v quarto >/dev/null || { echo "make docs: Quarto is missing; see https://quarto.org"; exit 2; }
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/nbdev_docs
	$(BIN)/python .ci/readme.py

bench: $(VENV)/.peers
	TQDM_DISABLE=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace nbs/30_benchmarks.ipynb
	$(BIN)/nbdev_clean --fname nbs/30_benchmarks.ipynb

readme: $(VENV)/.dev
	$(BIN)/python .ci/readme.py

sidebar: $(VENV)/.dev
	$(BIN)/python -c "from nbdev.quarto import *; refresh_quarto_yml(); nbdev_sidebar.__wrapped__()"

$(VENV)/.python:
	@echo "Making an environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python settings.ini setup.py
	@echo "Installing eva_nbs and what it needs (a minute or two, once)"
	@$(PIP) -e . | $(LARGE)
	@touch $@

$(VENV)/.dev: $(VENV)/.run settings.ini
	@echo "Installing what the tests need"
	@$(PIP) -e '.[dev]' | $(LARGE)
	@$(PIP) -q --no-deps $(REFERENCES)
	@touch $@

$(VENV)/.peers: $(VENV)/.dev settings.ini
	@echo "Installing the libraries to compare with"
	@$(PIP) -q --no-deps fastai==2.8.7 fasttransform==0.0.2 'plum-dispatch<2.6' \
	  'fastprogress<1.1' fastdownload beartype cloudpickle rich markdown-it-py mdurl lightning \
	  pytorch-lightning
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info _docs _proc
