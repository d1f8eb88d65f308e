"""The evaluator and ACPICA's own agree on what both can run: programs/*.asl, and the tables of pc, q35 and QEMU.

`acpiexec` answers regions with memory that is zero at first, so ours does too.  A call that ACPICA aborts has to be an
error of ours.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from acpi.aml import Arg0, DerefOf, Index, Local0, Method, NotSerialized, Ref, Return, Store, Table
from acpi.aml.errors import AmlError
from acpi.aml.evaluator import Evaluator
from acpi.aml.values import Lazy
from acpi.aml.values import Method as MethodObject
from acpi.dsdt import dsdt
from acpi.platform import ICH9, ChipsetInfo
from acpi.tables import Oem, with_header
from tests.acpi.acpica import Failure, compile_asl, evaluate, needs_acpica
from tests.acpi.aml_bench import Memory
from tests.acpi.boards import platform
from tests.acpi.qemu_tables import needs_qemu, qemu_dsdt

pytestmark = needs_acpica
PROGRAMS = Path(__file__).parent / "programs"
QEMU_MACHINES = {"piix4": "pc", "ich9": "q35"}
PCI_SLOTS, PCI_PINS = 32, 4
# results that acpiexec has no room for; see the routes
TOO_LONG = {"\\_SB.PCI0._PRT", "\\_SB.PCI0.PRTP", "\\_SB.PCI0.PRTA"}
PREDEFINED = {("_OS_",), ("_REV",)}
ARGUMENT = re.compile(r"\([^)]*\)|\S+")


def ours(tables: list[bytes], calls: list[str]) -> dict[str, Any]:
    evaluator = Evaluator(*tables, io=Memory(), memory=Memory(), pci_config=Memory())
    return {call: result(evaluator, call) for call in calls}


def result(evaluator: Evaluator, call: str) -> Any:
    path, *arguments = ARGUMENT.findall(call)
    try:
        return evaluator.run(path, *map(argument, arguments))
    except AmlError as error:
        return Failure(error)


def argument(text: str) -> int | bytes:
    """`3F` is a number, `(01 02)` a buffer."""
    return bytes.fromhex(text[1:-1]) if text.startswith("(") else int(text, 16)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Failure) or isinstance(b, Failure):
        return isinstance(a, Failure) and isinstance(b, Failure)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(b, str) and b.startswith("[Object Reference]"):
        return str(a).rsplit(".", 1)[-1].lstrip("\\").ljust(4, "_") in b
    return a == b or a is None and isinstance(b, str) and "NULL" in b


def disagreements(tables: list[bytes], files: list[Path], calls: list[str], processes: int = 8) -> list[str]:
    """Calls with different results.  They are dealt out to several pairs of evaluators, as acpiexec sleeps between calls."""
    with ThreadPoolExecutor(processes) as pool:
        parts = pool.map(lambda n: _disagreements(tables, files, calls[n::processes]), range(processes))
        return list(chain(*parts))


def _disagreements(tables: list[bytes], files: list[Path], calls: list[str]) -> list[str]:
    mine, theirs = ours(tables, calls), evaluate(files, calls)
    return [
        f"{call}: ours {mine[call]!r}, ACPICA's {theirs[call]!r}"
        for call in calls
        if not same(mine[call], theirs[call])
    ]


@pytest.mark.parametrize("revision", [1, 2])
@pytest.mark.parametrize("program", sorted(path.stem for path in PROGRAMS.glob("*.asl")))
def test_both_evaluators_agree_on(program, revision, tmp_path):
    body = (PROGRAMS / f"{program}.asl").read_text()
    table = compile_asl(f'DefinitionBlock ("", "DSDT", {revision}, "TEST", "TEST", 1) {{\n{body}\n}}', tmp_path)
    namespace = Evaluator(table).namespace
    calls = [str(node) for node in namespace if isinstance(node.object, MethodObject) and node.name.startswith("T")]
    assert len(calls) > 5
    assert disagreements([table], [tmp_path / "program.aml"], calls) == []


PCI_UUID = "5b 4d db 33 f7 1f 1c 40 96 57 74 41 c0 3d d7 66"
OTHER_UUID = PCI_UUID.replace("5b", "5c")
WITH_ARGUMENTS = {
    "_OSC": [f"({PCI_UUID}) 1 3 (00 00 00 00 1f 00 00 00 ff 00 00 00)", f"({OTHER_UUID}) 2 3 ({'00 ' * 12})"],
    "_OST": ["1 0 (00)", "3 0x84 (00)"],
    "_PIC": ["1"],
    "_EJ0": ["1"],
    "_SRS": ["(89 06 00 09 01 0a 00 00 00 79 00)"],
}


def all_calls(table: bytes) -> list[str]:
    """Every data object and method of a table, with arguments where it needs some that we know."""
    calls = []
    for node in Evaluator(table).namespace:
        if isinstance(node.object, MethodObject) and node.object.arguments:
            calls += [f"{node} {arguments}" for arguments in WITH_ARGUMENTS.get(node.path[-1], [])]
        elif (
            isinstance(node.object, (MethodObject, int, str))
            and node.path not in PREDEFINED
            or is_lazy_data(node.object)
        ):
            calls.append(str(node))
    return calls


def is_lazy_data(obj: Any) -> bool:
    return isinstance(obj, Lazy) and obj.term.op.name != "OperationRegion"


def table_of(chipset: ChipsetInfo, kind: str) -> bytes:
    """What a machine may have, and what QEMU generates."""
    if kind == "QEMU":
        return qemu_dsdt(QEMU_MACHINES[chipset.name], "1,maxcpus=4")
    return dsdt(platform(chipset, 4, legacy_cpu_hotplug=kind == "legacy"))


every_kind = pytest.mark.parametrize("kind", ["ours", "legacy", pytest.param("QEMU", marks=needs_qemu)])


@every_kind
def test_both_agree_on_every_object_of_the_tables(chipset, kind, tmp_path):
    table, file = table_of(chipset, kind), tmp_path / "dsdt.aml"
    file.write_bytes(table)
    calls = [call for call in all_calls(table) if call not in TOO_LONG]
    assert {"_CRS", "_STA", "_HID", "_MAT"} <= {call.split()[0].rsplit(".")[-1] for call in calls}
    assert disagreements([table], [file], calls) == []


@every_kind
@pytest.mark.parametrize("apic", [0, 1])
def test_both_agree_on_every_fifth_route_of_the_tables(chipset, kind, apic, tmp_path):
    table = table_of(chipset, kind)
    one_route = [Store(Ref("\\_SB.PCI0._PRT"), Local0), Return(DerefOf(Index(Local0, Arg0)))]
    addition = with_header(b"SSDT", 1, Table(Method("\\ROUT", 1, NotSerialized, one_route)).encode(), Oem())
    files = [tmp_path / "dsdt.aml", tmp_path / "ssdt.aml"]
    for file, contents in zip(files, (table, addition)):
        file.write_bytes(contents)
    choice = ["\\_PIC 1"] if apic and chipset is ICH9 else []
    routes = [f"\\ROUT {n:#x}" for n in range(0, PCI_SLOTS * PCI_PINS, 5)]
    assert disagreements([table, addition], files, choice + routes, processes=1) == []
