"""Tables byte by byte, the linker script, and the layout for direct boot."""

from __future__ import annotations

import struct

import pytest

from acpi.build import RSDP_FILE, TABLES_FILE, fadt, fw_cfg_files, lay_out, madt, srat
from acpi.loader import ENTRY_LENGTH, AddChecksum, AddPointer, Allocate, link
from acpi.platform import ICH9, PIIX4, MemoryRange, Platform, PossibleCpu, Window
from acpi.tables import GenericAddress, Oem, RsdpV0, RsdpV2, Slit, Waet
from tests.acpi.boards import MIB, platform

GOLDEN_MADT = """
41 50 49 43 90 00 00 00 01 .. 42 4f 43 48 53 20 42 58 50 43 20 20 20 20 01 00 00 00 42 58 50 43 01 00 00 00
00 00 e0 fe 01 00 00 00
00 08 00 00 01 00 00 00 00 08 01 01 00 00 00 00 00 08 02 02 00 00 00 00 00 08 03 03 00 00 00 00
01 0c 00 00 00 00 c0 fe 00 00 00 00
02 0a 00 00 02 00 00 00 00 00 02 0a 00 05 05 00 00 00 0d 00 02 0a 00 09 09 00 00 00 0d 00
02 0a 00 0a 0a 00 00 00 0d 00 02 0a 00 0b 0b 00 00 00 0d 00
04 06 ff 00 00 01
""".split()
GOLDEN_FADT = {
    "piix4": """
46 41 43 50 74 00 00 00 01 .. 42 4f 43 48 53 20 42 58 50 43 20 20 20 20 01 00 00 00 42 58 50 43 01 00 00 00
00 00 00 00 00 00 00 00 01 00 09 00 b2 00 00 00 f1 f0 00 00 00 06 00 00 00 00 00 00 04 06 00 00
00 00 00 00 00 00 00 00 08 06 00 00 e0 af 00 00 00 00 00 00 04 02 00 04 04 00 00 00 ff 0f ff 0f
00 00 00 00 00 00 00 00 32 00 00 00 a5 80 00 00
""".split(),
    "ich9": """
46 41 43 50 f4 00 00 00 03 .. 42 4f 43 48 53 20 42 58 50 43 20 20 20 20 01 00 00 00 42 58 50 43 01 00 00 00
00 00 00 00 00 00 00 00 01 00 09 00 b2 00 00 00 02 03 00 00 00 06 00 00 00 00 00 00 04 06 00 00
00 00 00 00 00 00 00 00 08 06 00 00 20 06 00 00 00 00 00 00 04 02 00 04 10 00 00 00 ff 0f ff 0f
00 00 00 00 00 00 00 00 32 02 00 00 a5 84 00 00 01 08 00 00 f9 0c 00 00 00 00 00 00 0f 00 00 00
00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
01 20 00 00 00 06 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
01 10 00 00 04 06 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
00 00 00 00 00 00 00 00 00 00 00 00 01 20 00 00 08 06 00 00 00 00 00 00
01 80 00 00 20 06 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
""".split(),
}


def assert_golden(table: bytes, golden: list[str]) -> None:
    """`..` in the golden bytes is the checksum."""
    checksum = golden.index("..")
    assert table == bytes.fromhex("".join([*golden[:checksum], f"{table[checksum]:02x}", *golden[checksum + 1 :]]))
    assert sum(table) & 0xFF == 0


def tables_at(memory: dict[int, bytes], rsdp: int) -> dict[str, bytes]:
    """Follow the pointers as an OS does: signature -> table."""
    flat = bytearray(max(base + len(data) for base, data in memory.items()))
    for base, data in memory.items():
        flat[base : base + len(data)] = data

    def table(address: int) -> bytes:
        return bytes(flat[address : address + struct.unpack_from("<I", flat, address + 4)[0]])

    revision, rsdt = struct.unpack_from("<BI", flat, rsdp + 15)
    root = table(struct.unpack_from("<Q", flat, rsdp + 24)[0] if revision >= 2 else rsdt)
    width = "Q" if root[:4] == b"XSDT" else "I"
    entries = [e for (e,) in struct.iter_unpack("<" + width, root[36:])]
    found = {flat[e : e + 4].decode(): table(e) for e in entries}
    facs, dsdt = struct.unpack_from("<II", found["FACP"], 36)
    return {root[:4].decode(): root, **found, "DSDT": table(dsdt), "FACS": table(facs)}


def test_madt_of_four_possible_cpus_is_byte_exact(chipset):
    assert_golden(madt(platform(chipset)).to_bytes(), GOLDEN_MADT)


def test_fadt_is_byte_exact(chipset):
    assert_golden(fadt(platform(chipset)).to_bytes(), GOLDEN_FADT[chipset.name])


def test_madt_shows_a_plugged_cpu_as_enabled(chipset):
    entries = madt(platform(chipset, possible=4, present=2)).to_bytes()[44:]
    assert [entries[8 * n + 4] for n in range(4)] == [1, 1, 0, 0]


def test_madt_without_irq0_override_lists_only_level_lines(chipset):
    entries = madt(platform(chipset, irq0_override=False)).entries
    assert [e.source for e in entries if e.entry_type == 2] == [5, 9, 10, 11]


def test_apic_ids_beyond_254_get_x2apic_entries():
    cpus = [PossibleCpu(0, 0), PossibleCpu(1, 255, present=False)]
    table = madt(Platform(ICH9, cpus, [MemoryRange(0, MIB)])).to_bytes()
    assert table[44:68].hex(" ") == "00 08 00 00 01 00 00 00 09 10 00 00 ff 00 00 00 00 00 00 00 01 00 00 00"
    assert table[-12:].hex(" ") == "0a 0c 00 00 ff ff ff ff 01 00 00 00"


def test_more_than_8_cpus_force_the_cluster_model(chipset):
    assert fadt(platform(chipset, possible=8)).flags >> 18 & 1 == 0
    assert fadt(platform(chipset, possible=9)).flags >> 18 & 1 == 1


def test_without_smm_there_is_no_port_to_enable_acpi(chipset):
    table = fadt(platform(chipset, smm=False))
    assert (table.smi_cmd, table.acpi_enable, table.acpi_disable) == (0, 0, 0)


def test_srat_has_an_entry_for_each_node_and_each_hole_used_or_not():
    table = srat(Platform(ICH9, [PossibleCpu(0, 0)], [MemoryRange(0, 64 * MIB, 0), MemoryRange(64 * MIB, 64 * MIB, 1)], numa_nodes=2))
    memory = [entry for entry in table.entries if entry.entry_type == 1]
    assert [(entry.base_address, entry.proximity_domain, entry.flags) for entry in memory] == [
        (0, 0, 1), (MIB, 0, 1), (64 * MIB, 1, 1), (0, 0, 0)]


def test_srat_lists_absent_cpus_as_enabled():
    cpus = [PossibleCpu(n, n, present=n == 0, node=n // 2) for n in range(4)]
    p = Platform(ICH9, cpus, [MemoryRange(0, 128 * MIB, 0), MemoryRange(128 * MIB, 128 * MIB, 1)], numa_nodes=2)
    table = srat(p).to_bytes()
    assert table[36:48].hex(" ") == "01 00 00 00 00 00 00 00 00 00 00 00"
    assert table[48 + 48 : 48 + 64].hex(" ") == "00 10 01 03 01 00 00 00 00 00 00 00 00 00 00 00"
    memory = [struct.unpack_from("<BBIHQQII", table, 112 + 40 * n) for n in range(3)]
    assert [(node, base, size, flags) for _, _, node, _, base, size, _, flags in memory] == [
        (0, 0, 0xA0000, 1),
        (0, 0x100000, 127 * MIB, 1),
        (1, 128 * MIB, 128 * MIB, 1),
    ]


def test_hot_pluggable_memory_is_flagged():
    p = Platform(ICH9, [PossibleCpu(0, 0)], [MemoryRange(1 << 32, MIB, hotpluggable=True)], numa_nodes=1)
    assert struct.unpack_from("<I", srat(p).to_bytes(), 64 + 28)[0] == 3


def test_slit_is_a_square_of_distances():
    assert Slit(distances=[[10, 20], [21, 10]]).to_bytes()[36:].hex(" ") == "02 00 00 00 00 00 00 00 0a 14 15 0a"


def test_the_oem_names_every_table():
    table = Waet().to_bytes(Oem(oem_id=b"ME", oem_table_id=b"MINE"))
    assert table[10:24] == b"ME    MINE    "


def test_an_oem_id_of_seven_characters_is_refused():
    with pytest.raises(ValueError, match="at most 6"):
        Oem(oem_id=b"SEVENCH")


def test_a_value_too_wide_for_its_field_is_refused():
    with pytest.raises(ValueError, match=r"GenericAddress\.register_bit_width"):
        GenericAddress(register_bit_width=256).pack()


def test_rsdp_checksums_cover_20_and_36_bytes():
    v0, v2 = RsdpV0(rsdt_address=0x1234).to_bytes(), RsdpV2(rsdt_address=0x1234, xsdt_address=0x5678).to_bytes()
    assert (len(v0), len(v2)) == (20, 36)
    assert [sum(part) & 0xFF for part in (v0, v2[:20], v2)] == [0, 0, 0]


# ---------------------------------------------------------------- the linker script


def everything(chipset, **options):
    return platform(chipset, 4, numa_nodes=1, numa_distances=[[10]], **options)


def test_the_script_is_in_the_order_that_firmware_knows():
    p = platform(ICH9)
    p.mmconfig = None
    script = fw_cfg_files(p).script
    kinds = "".join({Allocate: "A", AddPointer: "P", AddChecksum: "C"}[type(c)] for c in script)
    #        files DSDT FADT  its sum APIC HPET WAET RSDT's entries and sum, RSDP
    assert kinds == "AA" + "C" + "PPP" + "C" + "CCC" + "PPPP" + "C" + "PC"
    assert len(fw_cfg_files(p).loader) == 0x1000


def test_script_entries_are_128_bytes_little_endian():
    entry = AddPointer("etc/acpi/rsdp", "etc/acpi/tables", 16, 4).to_bytes()
    assert len(entry) == ENTRY_LENGTH
    assert struct.unpack("<I56s56sIB7x", entry) == (
        2,
        b"etc/acpi/rsdp".ljust(56, b"\0"),
        b"etc/acpi/tables".ljust(56, b"\0"),
        16,
        4,
    )


def test_checksums_are_zero_before_the_loader_runs(chipset):
    files = fw_cfg_files(everything(chipset))
    sums = [c for c in files.script if isinstance(c, AddChecksum) and c.file == TABLES_FILE]
    assert sums and all(files.tables[c.offset] == 0 for c in sums)


def test_files_have_the_sizes_that_firmware_expects(chipset):
    files = fw_cfg_files(platform(chipset)).files()
    assert {name: len(data) for name, data in files.items()} == {
        "etc/acpi/tables": 0x20000,
        "etc/acpi/rsdp": 20,
        "etc/table-loader": 0x1000,
    }


@pytest.mark.parametrize("revision", [0, 2])
def test_an_os_finds_every_table_with_a_good_checksum(chipset, revision):
    files = fw_cfg_files(everything(chipset), revision)
    place = {RSDP_FILE: 0xF0000, TABLES_FILE: 0x100040}
    linked = link(files.script, {RSDP_FILE: files.rsdp, TABLES_FILE: files.tables}, lambda c, size: place[c.file])
    found = tables_at(dict(linked.values()), 0xF0000)
    expected = {"FACP", "APIC", "HPET", "SRAT", "SLIT", "WAET", "DSDT", "FACS", "XSDT" if revision else "RSDT"}
    assert set(found) == expected | ({"MCFG"} if chipset is ICH9 else set())
    assert {name: sum(t) & 0xFF for name, t in found.items() if name != "FACS"} == {
        name: 0 for name in found if name != "FACS"
    }


def test_direct_boot_is_the_script_run_at_a_given_place(chipset):
    p = everything(chipset)
    (rsdp_at, rsdp), (tables_at_, tables) = lay_out(p, 0x7FE0010)
    assert (rsdp_at, tables_at_) == (0x7FE0010, 0x7FE0040)
    files = fw_cfg_files(p, 2)
    place = {RSDP_FILE: rsdp_at, TABLES_FILE: tables_at_}
    linked = link(files.script, {RSDP_FILE: files.rsdp, TABLES_FILE: files.tables}, lambda c, size: place[c.file])
    assert linked == {RSDP_FILE: (rsdp_at, rsdp), TABLES_FILE: (tables_at_, tables)}


def test_the_rsdp_may_live_apart_from_the_tables(chipset):
    memory = lay_out(platform(chipset), 0x7FE0000, rsdp_address=0xF5AD0)
    assert "DSDT" in tables_at(dict(memory), 0xF5AD0)


def test_direct_boot_at_a_crooked_address_is_refused(chipset):
    with pytest.raises(ValueError, match="align it to 64"):
        lay_out(platform(chipset), 0x7FE0010, rsdp_address=0xF0000)


def test_tables_beyond_4_gib_are_refused(chipset):
    with pytest.raises(ValueError, match="out of reach"):
        lay_out(platform(chipset), 1 << 32)


def test_the_facs_is_64_byte_aligned_in_the_blob(chipset):
    assert fw_cfg_files(platform(chipset)).tables[:4] == b"FACS"


def test_mcfg_appears_once_the_window_is_enabled():
    p = platform(ICH9)
    assert b"MCFG" in fw_cfg_files(p).tables
    p.mmconfig = None
    assert b"MCFG" not in fw_cfg_files(p).tables


def test_pci_windows_leave_out_the_configuration_space():
    from acpi.dsdt_parts import memory_windows

    assert memory_windows(platform(ICH9)) == [Window(256 * MIB, 0xAFFFFFFF), Window(0xC0000000, 0xFEBFFFFF)]
    assert memory_windows(platform(PIIX4)) == [Window(256 * MIB, 0xFEBFFFFF)]
