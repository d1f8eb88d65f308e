# Every target does its own set-up in .venv; a machine needs python3 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# what tests and guests use from Debian: venv itself, iasl, busybox for the initramfs, cpio-free unpacking of packages
DEBIAN := python3-venv acpica-tools busybox-static xz-utils lz4 zstd dpkg

.PHONY: demo test test-all spec check bench clean system-packages
demo: $(STAMP)
	$(BIN)/numachine demo

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" $(TESTS)

test-all: $(STAMP)
	$(BIN)/python -m pytest $(TESTS)

# the rules of the hot-plug protocol, and their table in docs/HOTPLUG.md
spec: $(STAMP)
	$(BIN)/python -m pytest -m spec --conformance-table tests/acpi

check: $(STAMP)
	$(BIN)/ruff check jit emu acpi machines tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python benchmarks/compute.py
	$(BIN)/python benchmarks/translate.py
	$(BIN)/python benchmarks/boot.py

$(STAMP): setup.cfg pyproject.toml
	@sh tools/system-packages.sh $(DEBIAN)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip "setuptools>=64" wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,check]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
