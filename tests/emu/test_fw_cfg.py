"""The firmware configuration interface as firmware uses it."""

from __future__ import annotations

import struct

import pytest

from emu import log
from emu.bus import AddressSpace
from emu.devices.fw_cfg import FILE_DIR, ID, NB_CPUS, SIGNATURE, FwCfg, FwCfgIo, FwCfgMmio


class Memory:
    def __init__(self):
        self.bytes = bytearray(b"\xee" * 0x4000)

    def dma_read(self, addr, n):
        self._check(addr, n)
        return bytes(self.bytes[addr : addr + n])

    def dma_write(self, addr, data):
        self._check(addr, len(data))
        self.bytes[addr : addr + len(data)] = data

    def _check(self, addr, n):
        if addr + n > len(self.bytes):
            raise ValueError("no memory there")


class Pc:
    def __init__(self):
        self.memory = Memory()
        self.cfg = FwCfg(self.memory)
        self.io = AddressSpace("io", 1 << 16)
        self.io.map(0x510, 12, FwCfgIo(self.cfg))

    def select(self, key):
        self.io.write(0x510, 2, key)

    def read(self, count):
        return bytes(self.io.read(0x511, 1) for _ in range(count))

    def dma(self, control, length, address, descriptor=0x100):
        """Run a DMA operation; returns the control word left in the descriptor."""
        self.memory.dma_write(descriptor, struct.pack(">IIQ", control, length, address))
        self.io.write(0x518, 4, int.from_bytes(struct.pack(">I", descriptor), "little"))
        return struct.unpack(">I", self.memory.dma_read(descriptor, 4))[0]

    def directory(self):
        self.select(FILE_DIR)
        count = int.from_bytes(self.read(4), "big")
        entries = [struct.unpack(">IHH56s", self.read(64)) for _ in range(count)]
        return [(name.rstrip(b"\0").decode(), key, size) for size, key, _, name in entries]


@pytest.fixture
def pc():
    return Pc()


def test_signature_and_features(pc):
    pc.select(SIGNATURE)
    assert pc.read(4) == b"QEMU"
    pc.select(ID)
    assert pc.read(4) == b"\x03\0\0\0"


def test_reading_past_the_end_gives_zeros(pc):
    pc.select(SIGNATURE)
    assert pc.read(6) == b"QEMU\0\0"


def test_unknown_key_reads_zeros_and_is_reported(pc):
    with log.captured("guest_errors") as lines:
        pc.select(0x1234)
    assert "0x1234" in lines[0]
    assert pc.read(2) == b"\0\0"


def test_selecting_restarts_the_item(pc):
    pc.select(SIGNATURE)
    pc.read(2)
    pc.select(SIGNATURE)
    assert pc.read(2) == b"QE"


def test_sixteen_bit_writes_select_at_either_port_and_bytes_do_nothing(pc):
    pc.cfg.add_int(NB_CPUS, 3, 2)
    pc.io.write(0x511, 2, NB_CPUS)
    assert pc.read(2) == b"\x03\0"
    pc.select(NB_CPUS)
    pc.io.write(0x511, 1, 0xFF)
    pc.io.write(0x510, 1, 0)
    assert pc.read(1) == b"\x03"
    assert pc.io.read(0x510, 2) == 0


def test_dma_register_reads_its_signature(pc):
    assert (pc.io.read(0x514, 4), pc.io.read(0x518, 4)) == (0x554D4551, 0x47464320)


def test_directory_is_sorted_by_name_with_keys_from_0x20(pc):
    for name in ("etc/system-states", "bootorder", "etc/acpi/rsdp"):
        pc.cfg.add_file(name, b"x" * len(name))
    assert pc.directory() == [("bootorder", 0x20, 9), ("etc/acpi/rsdp", 0x21, 13), ("etc/system-states", 0x22, 17)]


def test_files_read_by_key(pc):
    pc.cfg.add_file("b", b"second")
    pc.cfg.add_file("a", b"first")
    pc.select(0x21)
    assert pc.read(6) == b"second"


def test_changed_contents_keep_the_key_and_show_their_size(pc):
    pc.cfg.add_file("a", b"first")
    pc.cfg.set_file("a", b"longer than first")
    assert pc.directory() == [("a", 0x20, 17)]


def test_a_callback_may_replace_contents_when_selected(pc):
    item = pc.cfg.add_file("lazy", b"....", on_select=lambda: item.data.__setitem__(slice(0, 4), b"done"))
    pc.select(0x20)
    assert pc.read(4) == b"done"


def test_dma_select_and_read(pc):
    assert pc.dma(SIGNATURE << 16 | 0x0A, 4, 0x200) == 0
    assert pc.memory.dma_read(0x200, 5) == b"QEMU\xee"


def test_dma_read_past_the_end_fills_with_zeros(pc):
    assert pc.dma(SIGNATURE << 16 | 0x0A, 6, 0x200) == 0
    assert pc.memory.dma_read(0x200, 7) == b"QEMU\0\0\xee"


def test_dma_reads_go_on_where_the_last_one_stopped_and_skip_skips(pc):
    pc.cfg.add_file("a", b"0123456789")
    pc.dma(0x20 << 16 | 0x08, 0, 0)
    pc.dma(0x02, 2, 0x200)
    pc.dma(0x04, 3, 0)
    pc.dma(0x02, 3, 0x202)
    assert pc.memory.dma_read(0x200, 5) == b"01567"


def test_skip_stops_at_the_end(pc):
    pc.dma(SIGNATURE << 16 | 0x0C, 0xFFFF_FFFF, 0)
    assert pc.cfg.position == 4


def test_dma_write_reaches_a_writable_file_and_tells_its_owner(pc):
    written = []
    item = pc.cfg.add_file("etc/vmgenid_addr", bytes(8), writable=True, on_write=lambda *span: written.append(span))
    pc.memory.dma_write(0x200, b"\x11\x22\x33\x44")
    pc.dma(0x20 << 16 | 0x0C, 2, 0)
    assert pc.dma(0x10, 4, 0x200) == 0
    assert (item.data, written) == (b"\0\0\x11\x22\x33\x44\0\0", [(2, 4)])


@pytest.mark.parametrize(("writable", "length"), [(False, 4), (True, 9)])
def test_dma_write_that_does_not_fit_reports_an_error_and_changes_nothing(pc, writable, length):
    item = pc.cfg.add_file("a", bytes(8), writable=writable)
    assert pc.dma(0x20 << 16 | 0x18, length, 0x200) == 1
    assert item.data == bytes(8)


def test_dma_outside_memory_reports_an_error(pc):
    assert pc.dma(SIGNATURE << 16 | 0x0A, 4, 0x10_0000) == 1


def test_dma_of_an_absurd_length_is_an_error_not_an_allocation(pc):
    assert pc.dma(SIGNATURE << 16 | 0x0A, 0xFFFF_FFFF, 0x200) == 1


def test_dma_descriptor_outside_memory_is_only_logged(pc):
    with log.captured("guest_errors") as lines:
        pc.io.write(0x514, 4, 0x0100_0000)
        pc.io.write(0x518, 4, 0)
    assert "descriptor" in lines[0]


def test_dma_address_high_half_does_not_outlive_its_operation(pc):
    pc.io.write(0x514, 4, 0x0100_0000)
    pc.io.write(0x518, 4, 0)
    assert pc.dma(SIGNATURE << 16 | 0x0A, 4, 0x200) == 0


def test_names_are_unique_and_fit_the_directory(pc):
    pc.cfg.add_file("a", b"")
    with pytest.raises(ValueError, match="already has"):
        pc.cfg.add_file("a", b"")
    with pytest.raises(ValueError, match="1 to 55 bytes"):
        pc.cfg.add_file("x" * 56, b"")


@pytest.fixture
def virt():
    memory, ram = AddressSpace("memory", 1 << 52), Memory()
    memory.map(0x0902_0000, 0x18, FwCfgMmio(FwCfg(ram)))
    memory.ram = ram
    return memory


def test_memory_mapped_selector_is_big_endian_and_data_keeps_byte_order(virt):
    virt.write(0x0902_0008, 2, 0x0100)
    assert virt.read(0x0902_0000, 1) == 3
    virt.write(0x0902_0008, 2, 0x0000)
    assert virt.read(0x0902_0000, 8).to_bytes(8, "little") == b"QEMU\0\0\0\0"


def test_memory_mapped_dma_takes_eight_bytes(virt):
    virt.ram.dma_write(0x100, struct.pack(">IIQ", SIGNATURE << 16 | 0x0A, 4, 0x200))
    virt.write(0x0902_0010, 8, int.from_bytes(struct.pack(">Q", 0x100), "little"))
    assert virt.ram.dma_read(0x200, 4) == b"QEMU"
    assert virt.read(0x0902_0010, 8).to_bytes(8, "little") == b"QEMU CFG"
