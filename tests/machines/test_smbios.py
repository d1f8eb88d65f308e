"""SMBIOS tables: as QEMU's, field by field as the user wishes, and as Linux reads them."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest

from acpi.platform import MemoryRange
from machines import Q35
from machines.smbios import ANCHOR_FILE, ENTRY_POINT, TABLES_FILE, Board, files, structures

GIB, MIB = 1 << 30, 1 << 20
# Of QEMU 7.2: -M pc -m 256M -smp 1,maxcpus=4, as its guest sees them behind SeaBIOS's own type 0.
RECORDED = bytes.fromhex("""
    011b0001010203000000000000000000000000000000000006000051454d55005374616e646172642050432028693434304658202b205049
    49582c2031393936290070632d6934343066782d372e3200000316000301010200000303030200000000000000000051454d550070632d69
    34343066782d372e320000042a000401030102b10f0600fdfb8b0703000000d007d0074101ffffffffffff00000004040402000100435055
    20300051454d550070632d6934343066782d372e3200001017001001030600000400feff010000000000000000000000112800110010feff
    ffffffff0001090001000702000000020000000000000000000000000000000044494d4d20300051454d550000131f001300000000ffff03
    00001001000000000000000000000000000000000000200b00200000000000000000007f04007f0000
""")


def board(**changes) -> Board:
    facts = {"product": "Standard PC (i440FX + PIIX, 1996)", "version": "pc-i440fx-7.2", "uuid": UUID(int=0), "sockets": 1,
             "cores": 4, "threads": 1, "signature": 0x60FB1, "features": 0x78B_FBFD, "memory": [MemoryRange(0, 256 * MIB)]}  # fmt: skip
    return Board(**{**facts, **changes})


def of_type(board: Board, number: int) -> list[bytes]:
    return [structure.to_bytes(handle) for handle, structure in structures(board) if structure.number == number]


def test_the_tables_are_qemus():
    assert files(board())[TABLES_FILE] == RECORDED


def test_the_entry_point_counts_the_structures():
    tables, anchor = files(board())[TABLES_FILE], files(board())[ANCHOR_FILE]
    magic, _, length, major, minor, longest, _, middle, _, size, address, count, revision = ENTRY_POINT.unpack(anchor)
    assert (magic, middle, length, major, minor, revision) == (b"_SM_", b"_DMI_", 31, 2, 8, 0x28)
    assert (size, address, count, longest) == (len(tables), 0, 8, 0x51)


def test_every_socket_is_a_processor():
    processors = of_type(board(sockets=3, cores=2, threads=2), 4)
    assert [processor[-50:].count(b"CPU %d" % n) for n, processor in enumerate(processors)] == [1, 1, 1]
    assert all(tuple(processor[35:38]) == (2, 2, 4) for processor in processors)


def test_memory_is_in_modules_of_16_gib_at_most_and_in_two_ranges():
    large = board(memory=[MemoryRange(0, 3 * GIB), MemoryRange(4 * GIB, 15 * GIB)])
    assert [struct.unpack_from("<H", module, 12)[0] for module in of_type(large, 17)] == [16384, 2048]
    assert [struct.unpack_from("<II", part, 4) for part in of_type(large, 19)] == [
        (0, 3 * MIB - 1), (4 * MIB, 19 * MIB - 1)]  # fmt: skip


@pytest.mark.parametrize("number", [0, 2])
def test_bios_and_board_are_there_when_they_are_asked_for(number):
    assert of_type(board(), number) == []
    given = {0: {"vendor": "Me", "release": "1.16"}, 2: {"asset": "Me"}}
    structure, = of_type(board(given=given), number)
    assert b"Me\0" in structure
    if number == 0:
        assert tuple(structure[20:22]) == (1, 16)


def test_the_users_uuid_wins_over_the_machines():
    text = "11223344-5566-7788-99aa-bbccddeeff00"
    system, = of_type(board(given={1: {"uuid": text, "serial": "S1"}}), 1)
    assert system[8:24] == UUID(text).bytes_le
    assert b"S1\0" in system


def test_a_machine_hands_them_to_its_firmware(tmp_path):
    (tmp_path / "bios").write_bytes(bytes(64 << 10))
    vm = Q35(bios=tmp_path / "bios", memory="16M", smbios={1: {"family": "Tests"}})
    tables = vm.fw_cfg.core.files[TABLES_FILE].data
    assert b"Standard PC (Q35 + ICH9, 2009)\0pc-q35-7.2\0Tests\0" in tables
