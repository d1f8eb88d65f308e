"""The pytest plugin: machines as fixtures, and for a failed test a report of what its machines did.

    def test_plug(embedded_guest):
        embedded_guest.qmp.device_add(driver="qemu64-x86_64-cpu", id="cpu1", socket_id=0, core_id=1, thread_id=0)
        embedded_guest.qmp.wait("ACPI_DEVICE_OST")

`pc`, `q35`: functions that make and start a machine.  `embedded_guest`, `linux_guest`: a machine whose guest has booted; that
happens once a session, every test gets a fork.  `@pytest.mark.numachine(smp="1,maxcpus=8", within="5e9 insns")` chooses the
options of the latter two, and how much a test may run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from machines.testing.fleet import Crew, Nursery

BOOTED = ("embedded_guest", "linux_guest")
DEFAULT_WITHIN = "200e9 insns"
OF_THE_TEST = ("within", "record")  # what a numachine mark says that is no option of a machine
SETTINGS = {  # what both the command line and the configuration file may say: name, default, help
    "backend": ("", "who runs guest code: native, bytecode or numba"),
    "machine": ("pc", "machines that booted guests run on, separated by commas"),
    "within": (DEFAULT_WITHIN, "guest instructions after which a test has failed"),
    "kernel": ("", "kernel that linux_guest boots"),
    "initrd": ("", "its initial RAM disk"),
    "append": ("console=ttyS0", "its command line"),
    "ready": ("login:", "what it prints on the serial port when it has booted"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("numachine", "machines under test")
    for name, (default, text) in SETTINGS.items():
        group.addoption(f"--numachine-{name}", help=f"{text} (default: {default or 'none'})")
        parser.addini(f"numachine_{name}", text, default=default)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "numachine(**options): of the booted guest, as its machine's keywords; within=\"5e9 insns\" "
                                       "limits the test, record=False does without going back in it")  # fmt: skip


def setting(config: pytest.Config, name: str) -> str:
    given = config.getoption(f"numachine_{name}")
    return str(config.getini(f"numachine_{name}") if given is None else given)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of a booted guest runs once on each machine that was asked for."""
    for fixture in BOOTED:
        if fixture in metafunc.fixturenames:
            names = setting(metafunc.config, "machine").split(",")
            metafunc.parametrize(fixture, names, indirect=True, ids=names)


# --- fixtures
def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    marks: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("numachine"))):
        marks |= mark.kwargs
    return marks


@pytest.fixture
def numachine_crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    """The machines of this test; for fixtures of your own: numachine_crew.take(name, vm)."""
    from jit import backends
    from machines.testing.fleet import Crew

    config = request.config
    options = _options(request)
    crew = Crew(setting(config, "backend") or backends.DEFAULT, options.get("within", setting(config, "within")),
                options.get("record", True))  # fmt: skip
    request.node.numachine_crew = crew
    yield crew
    crew.close()


@pytest.fixture(scope="session")
def numachine_nursery() -> Iterator[Nursery]:
    """Guests that have booted, for forks."""
    from machines.testing.fleet import Nursery

    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def pc(numachine_crew: Crew) -> Callable[..., Any]:
    """pc(smp="1,maxcpus=4", memory="64M", kernel=...) makes and starts a machine; it is closed after the test."""
    return numachine_crew.starter("pc")


@pytest.fixture
def q35(numachine_crew: Crew) -> Callable[..., Any]:
    """As `pc`, with ICH9 and PCI Express."""
    return numachine_crew.starter("q35")


def _booted(request: pytest.FixtureRequest, crew: Crew, ready: str, defaults: dict[str, Any]) -> Any:
    nursery = request.getfixturevalue("numachine_nursery")
    chosen = {name: value for name, value in _options(request).items() if name not in OF_THE_TEST}
    options = {"smp": "1,maxcpus=4", "backend": crew.backend, **defaults, **chosen}
    return crew.take(request.param, nursery.fork(request.param, options.pop("ready", ready), **options))


@pytest.fixture
def embedded_guest(request: pytest.FixtureRequest, numachine_crew: Crew) -> Any:
    """The guest of `numachine demo`, at its prompt (machines/guests/hotplug.py): it brings up CPUs that are plugged, and lets go
    of those that are asked for."""
    from machines.guests import hotplug

    return _booted(request, numachine_crew, "ready", {"memory": "16M", "kernel": hotplug.image()})


@pytest.fixture
def linux_guest(request: pytest.FixtureRequest, numachine_crew: Crew) -> Any:
    """The kernel of --numachine-kernel, when it has printed --numachine-ready."""
    config = request.config
    files = {name: setting(config, name) for name in ("kernel", "initrd")}
    if not files["kernel"]:
        pytest.skip("linux_guest needs a kernel: --numachine-kernel FILE, or numachine_kernel in the configuration file")
    missing = [path for path in files.values() if path and not os.access(path, os.R_OK)]
    if missing:
        pytest.fail(f"linux_guest: cannot read {', '.join(missing)}", pytrace=False)
    found = {name: path for name, path in files.items() if path}
    return _booted(request, numachine_crew, setting(config, "ready"),
                   {"memory": "256M", "append": setting(config, "append"), **found})  # fmt: skip


# --- reports
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report, crew = outcome.get_result(), getattr(item, "numachine_crew", None)
    if report.failed and crew is not None:
        from machines.testing.report import sections

        for name, vm in crew.machines.items():
            report.sections += sections(name, vm, item.nodeid, item.config)
