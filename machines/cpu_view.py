"""A CPU of a running machine for people and programs: registers by name, memory through its page tables, a dump.

Reading has no side effects: page tables are walked here, without setting accessed bits (Intel SDM vol. 3A ch. 4).
Not here: x87 registers by name, debug registers to write.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from emu.x86_state import NOT_STATE
from emu.x86_vcpu import X86Vcpu
from jit.x86.state import Cr0, Cr4, Efer, Flag, Gpr, Seg, SegmentAttribute

if TYPE_CHECKING:
    from machines.monitor_api import MonitorApi

MASK64 = (1 << 64) - 1
PAGE = 4096
PRESENT, LARGE = 1, 1 << 7
FRAME = 0x000F_FFFF_FFFF_F000
LOW_16, LOW_32 = 0xFFFF, 0xFFFF_FFFF
ALL_FLAGS = sum(Flag)
CONTROL_FIELDS = ("cr0", "cr2", "cr3", "cr4", "cr8", "efer", "mxcsr", "star", "lstar", "cstar", "fmask", "kernel_gs_base")
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")
LEGACY_BYTES = {"al": ("rax", 0), "cl": ("rcx", 0), "dl": ("rdx", 0), "bl": ("rbx", 0), "ah": ("rax", 8), "ch": ("rcx", 8),
                "dh": ("rdx", 8), "bh": ("rbx", 8), "spl": ("rsp", 0), "bpl": ("rbp", 0), "sil": ("rsi", 0),
                "dil": ("rdi", 0)}  # fmt: skip


class NotMapped(LookupError):
    """No page, or no RAM, at an address."""


def _parts() -> dict[str, tuple[str, int, int]]:
    """Every name of a general register's part: (64-bit register, lowest bit, width)."""
    parts = {name: (whole, low, 8) for name, (whole, low) in LEGACY_BYTES.items()}
    for number, register in enumerate(Gpr):
        name = register.name.lower()
        parts[name] = (name, 0, 64)
        if number < 8:
            parts["e" + name[1:]], parts[name[1:]] = (name, 0, 32), (name, 0, 16)
        else:
            parts |= {name + "d": (name, 0, 32), name + "w": (name, 0, 16), name + "b": (name, 0, 8)}
    return parts


PARTS = _parts()
NAMES = (*(register.name.lower() for register in Gpr), "rip", "rflags", *SEGMENTS, "fs_base", "gs_base", *CONTROL_FIELDS,
         *(f"xmm{n}" for n in range(16)))  # fmt: skip


class Registers(MutableMapping[str, int]):
    """Registers by the manual's names, in lower case: rax, eax, ax, al ... r15b, rip, rflags, cs, fs_base, cr3, xmm0.

    A 32-bit name writes as instructions do: bits 63-32 become zero.  Segment selectors can be read only."""

    def __init__(self, vcpu: X86Vcpu) -> None:
        self._vcpu, self._state = vcpu, vcpu.state

    def __getitem__(self, name: str) -> int:
        state = self._state
        if name in PARTS:
            whole, low, width = PARTS[name]
            return int(state["gpr"][Gpr[whole.upper()]]) >> low & ((1 << width) - 1)
        if name in ("rip", "eip"):
            return int(state["pc"])
        if name in ("rflags", "eflags"):
            return self._vcpu.vcpu.call("flags_image")
        if name in CONTROL_FIELDS:
            return int(state[name])
        if name in SEGMENTS:
            return int(state["seg"][Seg[name.upper()]]["selector"])
        if name in ("fs_base", "gs_base"):
            return int(state["seg"][Seg[name[:2].upper()]]["base"])
        if name.startswith("xmm") and name[3:].isdecimal() and int(name[3:]) < 16:
            at = 2 * int(name[3:])
            return int(state["xmm"][at]) | int(state["xmm"][at + 1]) << 64
        raise KeyError(f"no register called '{name}'; there are {', '.join(self)}")

    def __setitem__(self, name: str, value: int) -> None:
        state = self._state
        if name in PARTS:
            self._set_part(*PARTS[name], value)
        elif name in ("rip", "eip"):
            state["pc"] = value & MASK64
        elif name in ("rflags", "eflags"):
            self._vcpu.vcpu.call("set_flags", value, ALL_FLAGS)
        elif name in CONTROL_FIELDS:
            state[name] = value & MASK64
        elif name in ("fs_base", "gs_base"):
            state["seg"]["base"][Seg[name[:2].upper()]] = value & MASK64
        elif name in self:
            if not name.startswith("xmm"):
                raise KeyError(f"register '{name}' can be read only")
            at = 2 * int(name[3:])
            state["xmm"][at], state["xmm"][at + 1] = value & MASK64, value >> 64 & MASK64
        else:
            self[name]
        self._vcpu.refresh()

    def _set_part(self, whole: str, low: int, width: int, value: int) -> None:
        mask = (1 << width) - 1
        kept = 0 if width >= 32 else self[whole] & ~(mask << low)
        self._state["gpr"][Gpr[whole.upper()]] = kept | (value & mask) << low

    def __delitem__(self, name: str) -> None:
        raise TypeError("a processor's registers stay")

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __contains__(self, name: object) -> bool:
        return name in PARTS or name in ("eip", "eflags") or name in NAMES

    def __len__(self) -> int:
        return len(NAMES)


class CpuView:
    """CPU `index` (its slot) of a machine.  Raises KeyError when there is none."""

    def __init__(self, machine: MonitorApi, index: int) -> None:
        if index not in machine.vcpus:
            present = ", ".join(map(str, sorted(machine.vcpus)))
            raise KeyError(f"there is no CPU in slot {index}; present are {present}")
        self._machine, self.index, self._vcpu = machine, index, machine.vcpus[index]
        self.registers = Registers(self._vcpu)

    @property
    def rip(self) -> int:
        return self.registers["rip"]

    @rip.setter
    def rip(self, value: int) -> None:
        self.registers["rip"] = value

    @property
    def pc(self) -> int:
        """Linear address of the next instruction."""
        return self.rip if self.code_bits == 64 else self._base(Seg.CS) + self.rip & LOW_32

    @property
    def halted(self) -> bool:
        """In HLT, or waiting for a start-up IPI."""
        return self._vcpu.halted

    @property
    def retired(self) -> int:
        """Instructions executed so far."""
        return self._vcpu.vcpu.retired

    @property
    def code_bits(self) -> int:
        """16, 32 or 64."""
        attributes = int(self._vcpu.state["seg"][Seg.CS]["attributes"])
        if self.registers["efer"] & Efer.LMA and attributes & SegmentAttribute.L:
            return 64
        return 32 if attributes & SegmentAttribute.DB else 16

    def __repr__(self) -> str:
        return f"cpu {self.index} at {self.pc:#x}" + (" (halted)" if self.halted else "")

    def _base(self, segment: Seg) -> int:
        return int(self._vcpu.state["seg"][segment]["base"])

    # --- memory
    def translate(self, linear: int) -> int:
        """Physical address behind a linear one.  Raises NotMapped."""
        get = self.registers.__getitem__
        if not get("cr0") & Cr0.PG:
            return linear & LOW_32
        if get("efer") & Efer.LMA:
            return self._walk(linear & MASK64, get("cr3") & FRAME, 4)
        if get("cr4") & Cr4.PAE:
            entry = self._entry(get("cr3") & 0xFFFF_FFE0, linear >> 30 & 3, 8, linear)
            return self._walk(linear & LOW_32, entry & FRAME, 2)
        return self._walk_32_bit(linear & LOW_32, get("cr3") & 0xFFFF_F000, bool(get("cr4") & Cr4.PSE))

    def _walk(self, linear: int, table: int, level: int) -> int:
        """8-byte entries, nine bits of the address a level."""
        while True:
            shift = level * 9 + 3
            entry = self._entry(table, linear >> shift & 511, 8, linear)
            if level == 1 or entry & LARGE:
                inside = (1 << shift) - 1
                return entry & FRAME & ~inside | linear & inside
            table, level = entry & FRAME, level - 1

    def _walk_32_bit(self, linear: int, directory: int, large_pages: bool) -> int:
        entry = self._entry(directory, linear >> 22, 4, linear)
        if large_pages and entry & LARGE:
            return entry & 0xFFC0_0000 | (entry >> 13 & 0xFF) << 32 | linear & 0x3F_FFFF
        entry = self._entry(entry & 0xFFFF_F000, linear >> 12 & 1023, 4, linear)
        return entry & 0xFFFF_F000 | linear & PAGE - 1

    def _entry(self, table: int, number: int, size: int, linear: int) -> int:
        try:
            entry = int.from_bytes(self._machine.memory.read(table + number * size, size), "little")
        except ValueError:
            raise NotMapped(f"the page tables for {linear:#x} are not in RAM") from None
        if not entry & PRESENT:
            raise NotMapped(f"no page is mapped at {linear:#x}")
        return entry

    def _pieces(self, linear: int, size: int) -> Iterator[tuple[int, int]]:
        """A range as (physical address, bytes), page by page."""
        while size > 0:
            length = min(size, PAGE - linear % PAGE)
            yield self.translate(linear), length
            linear, size = linear + length, size - length

    def read(self, linear: int, size: int) -> bytes:
        """Memory as this CPU sees it.  Raises NotMapped."""
        try:
            return b"".join(self._machine.memory.read(at, length) for at, length in self._pieces(linear, size))
        except ValueError as error:
            raise NotMapped(str(error)) from None

    def write(self, linear: int, data: bytes) -> None:
        """Raises NotMapped, with nothing written."""
        done = 0
        for at, length in list(self._pieces(linear, len(data))):
            self._machine.memory.write(at, data[done : done + length])
            done += length

    # --- dump
    def dump(self, vectors: bool = True) -> str:
        """The text of `info registers`, with or without x87 and SSE registers."""
        wide = 16 if self.registers["efer"] & Efer.LMA else 8
        lines = [*self._general_lines(wide), self._flags_line(wide), *self._segment_lines(wide), *self._control_lines(wide)]
        return "\n".join([*lines, *self._vector_lines()] if vectors else lines)

    def _general_lines(self, wide: int) -> list[str]:
        if wide == 16:
            names = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"] + [f"r{n}" for n in range(8, 16)]
        else:
            names = ["eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp"]
        shown = [f"{name.upper():3}={self.registers[name]:0{wide}x}" for name in names]
        return [" ".join(shown[at : at + 4]) for at in range(0, len(shown), 4)]

    def _flags_line(self, wide: int) -> str:
        flags = self.registers["rflags"]
        letters = [("D", Flag.DF), ("O", Flag.OF), ("S", Flag.SF), ("Z", Flag.ZF), ("A", Flag.AF), ("P", Flag.PF), ("C", Flag.CF)]
        shown = "".join(letter if flags & flag else "-" for letter, flag in letters)
        state = self._vcpu.state
        names = ("RIP", "RFL") if wide == 16 else ("EIP", "EFL")
        return (f"{names[0]}={self.rip:0{wide}x} {names[1]}={flags:08x} [{shown}] CPL={int(state['cpl'])} "
                f"II={int(bool(state['single']))} A20={int(state['a20_mask']) >> 20 & 1} SMM=0 HLT={int(self.halted)}")

    def _segment_lines(self, wide: int) -> list[str]:
        names = {Seg.LDTR: "LDT", Seg.TR: "TR "}
        lines = []
        for number in Seg:
            segment = self._vcpu.state["seg"][number]
            lines.append(f"{names.get(number, number.name + ' ')}={int(segment['selector']):04x} {int(segment['base']):0{wide}x} "
                         f"{int(segment['limit']):08x} {int(segment['attributes']):08x}")  # fmt: skip
        state = self._vcpu.state
        return lines + [f"{name.upper()}=     {int(state[name + 'r_base']):0{wide}x} {int(state[name + 'r_limit']):08x}"
                        for name in ("gdt", "idt")]  # fmt: skip

    def _control_lines(self, wide: int) -> list[str]:
        get, dr = self.registers.__getitem__, self._vcpu.state["dr"]
        return [f"CR0={get('cr0'):08x} CR2={get('cr2'):0{wide}x} CR3={get('cr3'):0{wide}x} CR4={get('cr4'):08x}",
                " ".join(f"DR{n}={int(dr[n]):0{wide}x}" for n in range(4)),
                f"DR6={int(dr[6]):0{wide}x} DR7={int(dr[7]):0{wide}x}", f"EFER={get('efer'):016x}"]  # fmt: skip

    def _vector_lines(self) -> list[str]:
        state = self._vcpu.state
        lines = [f"FCW={int(state['fcw']):04x} FSW={int(state['fsw']):04x} FTW={int(state['ftw']):02x} "
                 f"MXCSR={int(state['mxcsr']):08x}"]  # fmt: skip
        shown = [f"XMM{n:02}={self.registers[f'xmm{n}']:032x}" for n in range(16)]
        return lines + [" ".join(shown[at : at + 2]) for at in range(0, 16, 2)]


LAZY_FLAGS = ("result", "aux")  # RFLAGS has what they stand for


def architectural_state(machine: Any, index: int) -> dict[str, Any]:
    """Everything of a CPU that a guest could know, as plain data, to compare two runs."""
    vcpu: X86Vcpu = machine.vcpus[index]
    names = [name for name in vcpu.state.dtype.names if name not in NOT_STATE and name not in LAZY_FLAGS]
    return {**{name: vcpu.state[name].tolist() for name in names}, "rflags": CpuView(machine, index).registers["rflags"]}
