"""The conformance table: every rule of the hot-plug protocol that a test checks, and the boards on which it holds.

A rule is a test marked `spec(id, source=...)`; its sentence is the test's name.  A run with `-m spec`, or with
`-m "spec and not slow"` where there is no QEMU, ends with the table; `--conformance-table` puts it into docs/HOTPLUG.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BOARDS = {
    "piix4": "PIIX4",
    "ich9": "ICH9",
    "ged": "GED",
    "pc": "pc",
    "q35": "q35",
    "qemu-pc": "QEMU pc",
    "qemu-q35": "QEMU q35",
}
SOURCES = {
    "specification": "the published text of the register interface",
    "QEMU": "what QEMU does beyond or beside that text",
    "measured": "observed on QEMU 7.2, of which no text speaks",
    "ACPI": "the ACPI specification and the chipset's data sheet",
    "AArch64": "the interface proposed for AArch64, which no released QEMU has",
}
CHAPTERS = "legacy switch sel dec flags ctl cmd ost ev gpe sci ged aml snap old-aml fw".split()
ACRONYMS = {
    word.lower(): word for word in "CPU CPUs APIC SMI DSDT GPE SCI PCI ACPI OS AML _OST _STA _EJ0 _MAT _EVT".split()
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "HOTPLUG.md"
BEGIN = "<!-- conformance table: pytest -m spec --conformance-table -->"
END = "<!-- end of conformance table -->"
HOLDS, FAILS, NOT_RUN, OTHER_BOARD = "holds", "FAILS", "not run", ""


@dataclass
class Rule:
    """`results` has the worst result on each board that the rule applies to."""

    id: str
    sentence: str
    source: str
    results: dict[str, str] = field(default_factory=dict)

    def add(self, board: str, result: str) -> None:
        rank = (NOT_RUN, HOLDS, FAILS)
        self.results[board] = max(self.results.get(board, NOT_RUN), result, key=rank.index)

    @property
    def row(self) -> tuple[str, ...]:
        return (self.id, self.sentence, self.source, *(self.results.get(board, OTHER_BOARD) for board in BOARDS))


def rules(items: Iterable[pytest.Item]) -> dict[str, Rule]:
    """The rules of collected tests, by chapter.  Raises UsageError for a marker that says too little."""
    found: dict[str, Rule] = {}
    for item in items:
        for rule in _rules_of(item):
            known = found.setdefault(rule.id, rule)
            if known.sentence != rule.sentence:
                raise pytest.UsageError(f"rule {rule.id} has two tests: {known.sentence!r} and {rule.sentence!r}")
            for board in boards_of(item):
                known.add(board, NOT_RUN)
    return dict(sorted(found.items(), key=lambda entry: CHAPTERS.index(entry[0].partition(".")[0])))


def _rules_of(item: pytest.Item) -> Iterator[Rule]:
    marker = item.get_closest_marker("spec")
    if marker is None:
        return
    source = marker.kwargs.get("source")
    if len(marker.args) != 1 or source not in SOURCES or marker.args[0].partition(".")[0] not in CHAPTERS:
        raise pytest.UsageError(
            f"{item.nodeid}: spec takes an id, chapter.rule with a chapter of {', '.join(CHAPTERS)}, "
            f"and source=, one of {', '.join(SOURCES)}"
        )
    name = getattr(item, "originalname", None) or item.name
    yield Rule(marker.args[0], sentence(name), source)


def sentence(test: str) -> str:
    """A test's name as it would be said."""
    words = test.removeprefix("test_").split("_")
    return " ".join(ACRONYMS.get(word, ACRONYMS.get(f"_{word}", word)) for word in words)


def boards_of(item: pytest.Item) -> list[str]:
    callspec = getattr(item, "callspec", None)
    return [value for value in callspec.params.values() if value in tuple(BOARDS)] if callspec else []


def markdown(found: Iterable[Rule]) -> str:
    heads = ("rule", "says", "source", *BOARDS.values())
    lines = [heads, tuple("---" for _ in heads), *(rule.row for rule in found)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def documented() -> str:
    """The table between the markers of docs/HOTPLUG.md."""
    return DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def document(table: str) -> None:
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


# ---------------------------------------------------------------- what pytest calls


class Conformance:
    """Listens to a run and keeps the results of its rules."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.rules: dict[str, Rule] = {}
        self.of_test: dict[str, tuple[Rule, list[str]]] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.rules = rules(items)
        marked = ((item, item.get_closest_marker("spec")) for item in items)
        self.of_test = {item.nodeid: (self.rules[m.args[0]], boards_of(item)) for item, m in marked if m}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        rule, boards = self.of_test.get(report.nodeid, (None, []))
        if rule is None or not (report.failed or report.when == "call"):
            return
        result = FAILS if report.failed else NOT_RUN if report.skipped else HOLDS
        for board in boards:
            rule.add(board, result)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.rules:
            return
        terminalreporter.section("conformance")
        terminalreporter.write_line(markdown(self.rules.values()))
        if self.config.getoption("--conformance-table") and not self.config.option.collectonly:
            document(markdown(self.rules.values()))
            terminalreporter.write_line(f"written into {DOCUMENT}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--conformance-table", action="store_true", help="with -m spec: write the table into docs/HOTPLUG.md"
    )


def pytest_configure(config: pytest.Config) -> None:
    chosen = config.getoption("markexpr")
    if "spec" in chosen.replace("not spec", "").split():
        config.pluginmanager.register(Conformance(config))
    if config.getoption("--conformance-table") and chosen != "spec":
        raise pytest.UsageError("--conformance-table needs all rules: pytest -m spec --conformance-table")
