# Every target sets up what it needs in $(VENV); nothing but Python >= 3.10 and the package index is assumed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
JOBS   ?= 2
TORCH  ?= torch==2.13.0
JUDGES := $(VENV)/.judges

.PHONY: demo test lint types bench docs conformance clean

demo: $(READY)
	$(BIN)/fbnet demo

test: $(READY) $(JUDGES)
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/fbnet bench --standing
	$(BIN)/fbnet bench --algorithms
	$(BIN)/fbnet bench --batches 1,4,16 --budget 10
	$(BIN)/fbnet bench --accuracy

# The site, in site/: a link that leads nowhere, or any other warning, fails.
docs: $(READY)
	$(BIN)/fbnet layers --markdown > docs/layers.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Every case of the ONNX backend suite, on both devices: a minute or two.
conformance: $(READY)
	$(BIN)/fbnet conformance --device reference --device cpu --list tests/formats/onnx/conformance.txt --page docs/onnx.md

# OpenCV 4.12 is the last one that reads Caffe; pnnx is ncnn's converter. What they ask for (an older numpy, torch) is
# not needed: --no-deps.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'opencv-python-headless==4.12.0.88' 'pnnx==20261020'
	@touch $@

# torch, which some tests hold us to: pip's choice is a CUDA build of gigabytes on some machines, so TORCH= leaves it out.
# torchvision, for its definitions of networks, asks for the very build of torch that it was made with: --no-deps.
$(JUDGES): $(READY)
	$(if $(TORCH),$(BIN)/pip install --quiet --disable-pip-version-check '$(TORCH)')
	$(if $(TORCH),$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'torchvision==0.28.0')
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis site
