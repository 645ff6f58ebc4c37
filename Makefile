# SPDX-License-Identifier: MIT
# Sets up what is missing, once, and runs the project's tasks. `make help` lists them.
#
#   PYTHON=...   the Python to make .venv from; any with a shared libpython (default: /usr/bin/python3)
#   GP_WERROR=1  warnings of the C compiler are errors

PYTHON ?= /usr/bin/python3
VENV := .venv
PY := $(VENV)/bin/python
STAMPS := build/stamps

APT_BUILD := build-essential pkg-config libgstreamer1.0-dev libdw-dev libiberty-dev
ifeq ($(PYTHON),/usr/bin/python3)
APT_BUILD += python3-dev python3-venv
endif
APT_DEMO := gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-bad \
  gstreamer1.0-plugins-ugly gstreamer1.0-libav
APT_TEST := clang libclang-rt-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user \
  debuginfod dwz python3-gi python3-numpy gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 \
  gstreamer1.0-plugins-good gstreamer1.0-python3-plugin-loader graphviz libfaketime golang-go \
  gstreamer1.0-gl libgl1-mesa-dri xvfb gstreamer1.0-nice gir1.2-gst-rtsp-server-1.0 nodejs
# Ubuntu has its browsers as snaps alone; there the tests that need one are skipped.
ifeq ($(shell . /etc/os-release 2>/dev/null && echo $$ID),debian)
APT_TEST += chromium chromium-driver
endif

DEMO := videotestsrc num-buffers=250 ! video/x-raw,width=1280,height=720,framerate=30/1 ! videoconvert \
  ! x264enc ! h264parse ! avdec_h264 ! videoconvert ! fakesink

C_FILES = $(shell find csrc tests benchmarks -name '*.[ch]' 2>/dev/null)

# A venv made from another Python than the one asked for is made anew.
ifneq ($(shell cat $(STAMPS)/python 2>/dev/null),$(PYTHON))
$(shell mkdir -p $(STAMPS) && echo '$(PYTHON)' > $(STAMPS)/python)
endif

.DELETE_ON_ERROR:
.PHONY: help build demo test test-fast sanitize fuzz test-server accuracy soak lint format docs images bench clean apt-build apt-demo apt-test

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

build: $(STAMPS)/native  ## build the native parts into gst_pyro_shim/

demo: $(STAMPS)/native | apt-demo  ## profile a pipeline with x264 and libav, print the table
	$(PY) -m gst_pyro_shim run --force -o build/demo.pb.gz -- gst-launch-1.0 -q $(DEMO)

test: $(STAMPS)/native $(STAMPS)/dev | apt-test  ## run all tests
	$(PY) -m pytest $(PYTEST_ARGS)

test-fast: $(STAMPS)/native $(STAMPS)/dev | apt-test  ## run the tests that take no pipeline, server or sanitizer
	GP_HYPOTHESIS_PROFILE=quick $(PY) -m pytest -n 3 -m 'not sanitizers and not fuzz and not slow' \
	  tests/unit tests/contract tests/native $(PYTEST_ARGS)

sanitize: $(STAMPS)/native $(STAMPS)/dev | apt-test  ## C tests and real pipelines, built with ASan, UBSan and TSan
	$(PY) -m pytest -m sanitizers $(PYTEST_ARGS)

fuzz: $(STAMPS)/native $(STAMPS)/dev | apt-test  ## damaged code, files and memory, RUNS=1000000 of each
	GP_FUZZ_RUNS='$(or $(RUNS),1000000)' $(PY) -m pytest -m fuzz --timeout 0 $(PYTEST_ARGS)

test-server: $(STAMPS)/native $(STAMPS)/dev | apt-test  ## push to a real server: SERVER_URL=http://127.0.0.1:4040
	@test -n '$(SERVER_URL)' || { echo 'make test-server needs SERVER_URL=http://HOST:4040' >&2; exit 2; }
	GP_TEST_SERVER_URL='$(SERVER_URL)' $(PY) -m pytest -m server $(PYTEST_ARGS)

accuracy: $(STAMPS)/native $(STAMPS)/dev | apt-test  ## accounts against known CPU, all combinations, ten runs each
	GP_ACCURACY_RUNS=10 $(PY) -m pytest tests/accuracy $(PYTEST_ARGS)

soak: $(STAMPS)/native $(STAMPS)/dev | apt-test  ## a server whose pipelines and threads come and go, for MINUTES=5
	GP_SOAK_MINUTES='$(or $(MINUTES),5)' $(PY) -m pytest -m soak $(PYTEST_ARGS)

lint: $(STAMPS)/native $(STAMPS)/dev  ## check style and types, change nothing
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/clang-format --dry-run --Werror $(C_FILES)

docs: $(STAMPS)/native  ## write docs/configuration.md from the model
	PYTHONPATH=. $(PY) docs/generate_configuration.py > docs/configuration.md

images: demo | apt-test  ## make the pictures of README, from a new run
	PYTHONPATH=. $(PY) docs/make_images.py build/demo.pb.gz

format: $(STAMPS)/dev  ## bring Python and C into the project's format
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .
	$(VENV)/bin/clang-format -i $(C_FILES)

bench: $(STAMPS)/native $(STAMPS)/dev | apt-test  ## measure what profiling costs, as ratios of paired runs
	@$(PY) -m benchmarks.bench $(BENCH_ARGS)

clean:  ## remove what was built; .venv stays
	rm -rf build dist *.egg-info compile_commands.json gst_pyro_shim/*.so gst_pyro_shim/plugin gst_pyro_shim/agent-python.txt

# The venv and what the build itself imports.
$(STAMPS)/venv: $(STAMPS)/python | apt-build
	@if [ -x $(PY) ] && [ "$$($(PY) -c 'import sys; print(sys.base_prefix)')" = \
	    "$$($(PYTHON) -c 'import sys; print(sys.base_prefix)')" ]; then :; \
	  else $(PYTHON) -m venv --clear $(VENV); fi
	$(PY) -m pip install --quiet --upgrade pip 'setuptools>=77' 'cffi>=1.16'
	@touch $@

# The first build installs the package, editable; later ones compile in place.
$(STAMPS)/native: $(STAMPS)/venv pyproject.toml build_shim.py $(wildcard build_native/*.py) $(shell find csrc -type f)
	@if $(PY) -c 'import importlib.metadata as m; m.version("gst-pyro-shim")' 2>/dev/null; \
	  then $(PY) build_shim.py; \
	  else PYTHONWARNINGS=ignore $(PY) -m pip install --quiet --no-build-isolation --editable .; fi
	@$(PY) -m gst_pyro_shim path > /dev/null
	@touch $@

$(STAMPS)/dev: $(STAMPS)/venv pyproject.toml
	$(PY) -m pip install --quiet --group dev
	@touch $@

apt-build apt-demo apt-test: PACKAGES = $(APT_BUILD)
apt-demo: PACKAGES += $(APT_DEMO)
apt-test: PACKAGES += $(APT_DEMO) $(APT_TEST)
apt-build apt-demo apt-test:
	@command -v apt-get > /dev/null || exit 0; \
	missing=; for package in $(PACKAGES); do \
	  dpkg-query -W -f='$${db:Status-Status}\n' $$package 2>/dev/null | grep -qx installed \
	    || missing="$$missing $$package"; \
	done; \
	test -n "$$missing" || exit 0; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	echo "installing$$missing"; \
	$$sudo apt-get update -qq && \
	  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing \
	    > build/apt.log 2>&1 || { cat build/apt.log >&2; exit 1; }
