"""System management mode of one vCPU: entry on an SMI, the state save area in SMRAM, return by RSM.

AMD64 Architecture Programmer's Manual vol. 2, chapter 10 (table 10-1 is the save area, the layout of every 64-bit processor that
emulators show); SDM vol. 3C, chapter 32, says the same in other words.
Not here: I/O instruction restart, TSEG, keeping other CPUs out of SMRAM while one is in SMM, SVM's SMI interception.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Protocol

from emu.snapshot import Stateful
from jit.x86.state import Cr0, Flag, Seg, SegmentAttribute, Smm

if TYPE_CHECKING:
    from emu.x86_vcpu import X86Vcpu

SMBASE_RESET = 0x3_0000
HANDLER = 0x8000  # from SMBASE
SAVE_AREA, SAVE_SIZE = 0xFE00, 0x200  # from SMBASE
REVISION = 0x2_0064  # this layout; bit 17: the handler may move SMBASE

# offsets in the save area
SEGMENT = struct.Struct("<HHIQ")  # selector, attributes, limit in bytes, base
SEGMENT_PLACES = {Seg.ES: 0x00, Seg.CS: 0x10, Seg.SS: 0x20, Seg.DS: 0x30, Seg.FS: 0x40, Seg.GS: 0x50, Seg.LDTR: 0x70, Seg.TR: 0x90}
TABLE_PLACES = {"gdtr": 0x60, "idtr": 0x80}
AUTO_HALT, NMI_MASK, EFER = 0xC9, 0xCA, 0xD0
REVISION_AT, SMBASE_AT = 0xFC, 0x100
CR4, CR3, CR0, DR7, DR6, RFLAGS, RIP, GPRS = 0x148, 0x150, 0x158, 0x160, 0x168, 0x170, 0x178, 0x180  # GPRS: R15 down to RAX
WORDS = {"efer": EFER, "cr4": CR4, "cr3": CR3, "cr0": CR0, "pc": RIP}

DR7_SMM = 0x400
BIG_REAL_LIMIT = 0xFFFF_FFFF  # all segments are readable and writable, CS too
BIG_REAL = int(SegmentAttribute.P | SegmentAttribute.S | SegmentAttribute.WRITABLE | SegmentAttribute.ACCESSED)
ALL_FLAGS = sum(Flag)
DPL_SHIFT = 13


class SmmMemory(Protocol):
    """RAM with SMRAM in it.  Addresses outside of RAM raise ValueError."""

    def in_smm(self, cpu: int, inside: bool) -> None:
        """CPU number `cpu` enters or leaves SMM: SMRAM shows while one is inside."""

    def read(self, address: int, size: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None: ...


class SystemManagement(Stateful):
    """`pending`: an SMI waits; `base`: SMBASE."""

    saved = ("pending", "base")

    def __init__(self, owner: X86Vcpu, memory: SmmMemory) -> None:
        self.owner, self.state, self.memory = owner, owner.state, memory
        self.pending, self.base = False, SMBASE_RESET

    def reset(self) -> None:
        self.pending, self.base = False, SMBASE_RESET
        self.follow()

    def follow(self) -> None:
        """SMRAM shows or not, by what the record says."""
        self.memory.in_smm(self.owner.vcpu.index, self.inside)

    def unplug(self) -> None:
        """The CPU is gone, and does not keep SMRAM open."""
        self.memory.in_smm(self.owner.vcpu.index, False)

    @property
    def inside(self) -> bool:
        return bool(self.state["smm"] != Smm.OUTSIDE)

    def act(self) -> None:
        """At a block boundary: return if the handler executed RSM, enter if an SMI waits and may be taken."""
        if self.state["smm"] == Smm.LEAVING:
            self._leave()
        if self.pending and not self.inside:
            self._enter()

    # --- entry
    def _enter(self) -> None:
        self.pending = False
        self.state["smm"] = Smm.INSIDE
        self.follow()
        self.memory.write(self.base + SAVE_AREA, self._saved_state())
        state = self.state
        state["halted"], state["nmi_blocked"], state["cpl"] = 0, 1, 0
        state["cr0"] = int(state["cr0"]) & ~int(Cr0.PE | Cr0.EM | Cr0.TS | Cr0.PG)
        state["cr4"] = state["efer"] = 0
        state["dr"][7] = DR7_SMM
        self.owner.vcpu.call("set_flags", int(Flag.ONE), ALL_FLAGS)
        for segment in (Seg.ES, Seg.SS, Seg.DS, Seg.FS, Seg.GS):
            state["seg"][segment] = (0, 0, BIG_REAL_LIMIT, BIG_REAL)
        state["seg"][Seg.CS] = (self.base >> 4 & 0xFFFF, self.base, BIG_REAL_LIMIT, BIG_REAL)
        state["pc"] = HANDLER
        self.owner.refresh()

    def _saved_state(self) -> bytes:
        state, area = self.state, bytearray(SAVE_SIZE)
        for segment, at in SEGMENT_PLACES.items():
            selector, base, limit, attributes = (int(value) for value in state["seg"][segment])
            SEGMENT.pack_into(area, at, selector, _packed(attributes), limit, base)
        for table, at in TABLE_PLACES.items():
            SEGMENT.pack_into(area, at, 0, 0, int(state[f"{table}_limit"]), int(state[f"{table}_base"]))
        for name, at in WORDS.items():
            struct.pack_into("<Q", area, at, int(state[name]))
        struct.pack_into("<QQQ", area, DR7, int(state["dr"][7]), int(state["dr"][6]), self.owner.vcpu.call("flags_image"))
        struct.pack_into("<16Q", area, GPRS, *state["gpr"].tolist()[::-1])
        struct.pack_into("<II", area, REVISION_AT, REVISION, self.base)
        area[AUTO_HALT], area[NMI_MASK] = int(state["halted"]), int(state["nmi_blocked"])
        return bytes(area)

    # --- return
    def _leave(self) -> None:
        """From the save area, which the handler may have changed.  A state that no CPU can be in shuts this one down."""
        area = self.memory.read(self.base + SAVE_AREA, SAVE_SIZE)
        self.state["smm"] = Smm.OUTSIDE
        self.follow()
        self._restore(area)
        self.base, = struct.unpack_from("<I", area, SMBASE_AT)
        self.owner.refresh()
        if int(self.state["cr0"]) & (Cr0.PE | Cr0.PG) == Cr0.PG:
            self.owner.on_shutdown(self.owner)

    def _restore(self, area: bytes) -> None:
        state = self.state
        for segment, at in SEGMENT_PLACES.items():
            selector, attributes, limit, base = SEGMENT.unpack_from(area, at)
            state["seg"][segment] = (selector, base, limit, _unpacked(attributes))
        for table, at in TABLE_PLACES.items():
            _, _, state[f"{table}_limit"], state[f"{table}_base"] = SEGMENT.unpack_from(area, at)
        for name, at in WORDS.items():
            state[name], = struct.unpack_from("<Q", area, at)
        state["dr"][7], state["dr"][6], flags = struct.unpack_from("<QQQ", area, DR7)
        self.owner.vcpu.call("set_flags", flags, ALL_FLAGS)
        state["gpr"] = struct.unpack_from("<16Q", area, GPRS)[::-1]
        state["halted"], state["nmi_blocked"] = area[AUTO_HALT] & 1, area[NMI_MASK] & 1
        protected, virtual_8086 = int(state["cr0"]) & Cr0.PE, flags & Flag.VM
        level = int(state["seg"][Seg.SS]["attributes"]) >> DPL_SHIFT & 3
        state["cpl"] = (3 if virtual_8086 else level) if protected else 0


def _packed(attributes: int) -> int:
    """A descriptor's attributes as the save area has them: bits 8-15 and 20-23 in twelve bits; a null segment is not present."""
    if attributes & SegmentAttribute.UNUSABLE:
        return 0
    return attributes >> 8 & 0xFF | attributes >> 12 & 0xF00


def _unpacked(packed: int) -> int:
    attributes = (packed & 0xFF) << 8 | (packed & 0xF00) << 12
    return attributes if attributes & SegmentAttribute.P else attributes | int(SegmentAttribute.UNUSABLE)
