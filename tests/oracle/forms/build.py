"""Makes one concrete case of a form: chooses registers, address shapes and values, then assembles.

Every choice comes from the Random given, so the same seed makes the same case.
"""
from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .. import values
from ..assembler import assemble
from ..state import (
    ARITHMETIC,
    GPR_NAMES,
    MASK64,
    MXCSR_RESET,
    PAGE,
    RSP,
    Case,
    Flags,
    Fpu,
    State,
    Window,
    full_tags,
    layout,
)
from . import rules, setups
from .table import Form

SIZE_WORDS = {8: "byte ptr", 16: "word ptr", 32: "dword ptr", 64: "qword ptr", 80: "xword ptr", 128: "xmmword ptr"}
LEGACY_BYTES = ("al", "cl", "dl", "bl", "ah", "ch", "dh", "bh")
RSP_SHARE, HIGH_BYTE_SHARE, PAGE_CROSSING_SHARE = 0.04, 0.3, 0.12
SHAPES_64 = ("b", "b+8", "b+32", "b+i", "b+i+8", "b+i+32", "i+32", "rip", "rsp", "rsp+i", "a32")
SHAPES_32 = ("b", "b+8", "b+32", "b+i", "b+i+8", "b+i+32", "i+32", "abs", "rsp", "rsp+i")
PAIRS_16 = ((3, 6), (3, 7), (5, 6), (5, 7), (6, None), (7, None), (3, None), (5, None), (None, None))
RIP_PLACEHOLDER = 0x0100_0000


@dataclass
class Operand:
    """A chosen operand.  `number` is a register's, `address` that of memory, `value` that of an immediate."""
    kind: str
    bits: int
    text: str
    number: int = -1
    shift: int = 0                  # 8 for AH..BH
    address: int = 0
    value: int = 0


def register_name(number: int, bits: int, legacy: bool = False) -> str:
    """Name of a general register at a width; `legacy` names bytes as without REX (4..7 are AH..BH)."""
    if bits == 64:
        return GPR_NAMES[number]
    if bits == 8 and legacy:
        return LEGACY_BYTES[number]
    if number >= 8:
        return f"r{number}" + {32: "d", 16: "w", 8: "b"}[bits]
    short = GPR_NAMES[number][1:]
    if bits == 8:
        return short[0] + "l" if short.endswith("x") else short + "l"
    return "e" + short if bits == 32 else short


class Builder:
    """Collects the operands and the initial state of one case; setups and rules look at it."""

    def __init__(self, form: Form, mode: int, rng: Random, place: str = ""):
        self.form, self.mode, self.rng, self.place = form, mode, rng, place
        self.layout = layout(mode)
        self.state = self._random_state()
        self.taken = {RSP} | {GPR_NAMES.index(name) for name in form.uses}
        self.undefined_memory: tuple[Window, ...] = ()
        self.undefined_gpr: dict[int, int] = {}
        self.legacy = self._choose_legacy()
        self.operands: list[Operand] = []
        self._choose_operands()

    # ---- what setups and rules use ----------------------------------------------------------------------------------
    def get(self, operand: Operand) -> int:
        """Unsigned value of a general register, memory or immediate operand."""
        if operand.kind == "r":
            return self.state.gpr[operand.number] >> operand.shift & (1 << operand.bits) - 1
        if operand.kind == "m":
            return self.state.load(operand.address, operand.bits // 8) if self.in_window(operand) else 0
        return operand.value

    def set(self, operand: Operand, value: int) -> None:
        """Gives a register or memory operand a value (no effect for memory at a bad place)."""
        mask = (1 << operand.bits) - 1
        if operand.kind == "r":
            old = self.state.gpr[operand.number]
            self.state.gpr[operand.number] = old & ~(mask << operand.shift) | (value & mask) << operand.shift
        elif operand.kind == "m" and self.in_window(operand):
            self.state.store(operand.address, operand.bits // 8, value)

    def in_window(self, operand: Operand) -> bool:
        return any(window.contains(operand.address, operand.bits // 8) for window in self.layout.windows)

    @property
    def memory_operand(self) -> Operand | None:
        return next((operand for operand in self.operands if operand.kind == "m"), None)

    @property
    def count(self) -> int:
        """Shift count as given, 0 to 255: immediate, CL, or 1."""
        last = self.form.text.split(",")[-1].strip()
        if self.form.operands[-1] == "c":
            return self.operands[-1].value
        return self.state.gpr[1] & 0xFF if last == "cl" else 1

    def case(self) -> Case:
        """The finished case."""
        form = self.form
        if form.setup:
            setups.SETUPS[form.setup](self)
        text, code = self._assemble()
        self.state.rip = self.layout.entry
        return Case(text=text, code=code, mode=self.mode, initial=self.state, form=form.text, group=form.group,
                    undefined_flags=int(rules.undefined_flags(form.undefined, self)),
                    undefined_sw=int(rules.undefined_sw(form)), undefined_gpr=self.undefined_gpr,
                    undefined_memory=self.undefined_memory, approximate=form.approximate)

    # ---- initial state ----------------------------------------------------------------------------------------------
    def _random_state(self) -> State:
        rng, lanes = self.rng, self.form.lanes
        lanes = lanes if lanes in ("f32", "f64", "i8", "i16", "i32", "i64") else "int"
        state = State(gpr=[values.word(rng) for _ in range(16)], mxcsr=MXCSR_RESET)
        if self.mode != 64:
            state.gpr = [value & 0xFFFF_FFFF for value in state.gpr[:8]] + [0] * 8
        state.gpr[RSP] = self.layout.stack_window.base + self.layout.stack_window.size // 2
        state.rflags = int(Flags.FIXED | Flags.IF) | rng.getrandbits(12) & int(ARITHMETIC)
        state.memory = {window.base: rng.randbytes(window.size) for window in self.layout.windows}
        if self.form.group.startswith(("sse", "mmx", "x87")):
            state.xmm = [values.vector(rng, lanes) for _ in range(16 if self.mode == 64 else 8)]
            state.xmm += [0] * (16 - len(state.xmm))
            state.fpu = self._random_fpu(lanes)
        return state

    def _random_fpu(self, lanes: str) -> Fpu:
        rng = self.rng
        if self.form.group.startswith("x87"):
            fpu = Fpu(sw=rng.randrange(8) << 11, st=[values.f80_value(rng) for _ in range(8)])
        else:                                   # MMX: as a mantissa under an all-ones exponent
            fpu = Fpu(st=[0xFFFF << 64 | values.vector(rng, lanes, 64) for _ in range(8)])
        fpu.tw = full_tags(0xFF, fpu.top, fpu.st)
        return fpu

    # ---- operands ---------------------------------------------------------------------------------------------------
    def _choose_legacy(self) -> bool:
        """Whether byte registers are named as without a REX prefix."""
        if "r8" not in self.form.operands:
            return False
        return self.mode != 64 or "r64" not in self.form.operands and self.rng.random() < HIGH_BYTE_SHARE

    def _choose_operands(self) -> None:
        chosen = {i: self._choose(kind) for i, kind in enumerate(self.form.operands) if kind[0] not in "mp"}
        for i, kind in enumerate(self.form.operands):
            if kind[0] in "mp":
                chosen[i] = self._memory(kind)
        self.operands = [chosen[i] for i in range(len(chosen))]

    def _choose(self, kind: str) -> Operand:
        rng = self.rng
        if kind[0] == "r" and kind[1:].isdigit():
            return self._register(int(kind[1:]))
        if kind in ("x", "q", "st"):
            number = rng.randrange(16 if kind == "x" and self.mode == 64 else 8)
            name = {"x": f"xmm{number}", "q": f"mm{number}", "st": f"st({number})"}[kind]
            return Operand(kind, {"x": 128, "q": 64, "st": 80}[kind], name, number)
        if kind == "c":
            count = rng.choice(values.SHIFT_COUNTS)
            return Operand("i", 8, str(count), value=count)
        if kind.startswith("rel"):
            return self._target(short=kind == "rel8")
        return self._immediate(kind)

    def _register(self, bits: int) -> Operand:
        rng = self.rng
        number = RSP if rng.random() < RSP_SHARE and not self.legacy else \
            rng.choice([n for n in range(8 if self.legacy or self.mode != 64 else 16) if n != RSP or self.legacy])
        if bits == 8 and self.legacy:
            self.taken.add(number & 3)
            return Operand("r", 8, LEGACY_BYTES[number], number & 3, shift=8 * (number >= 4))
        if self.legacy and number == RSP:
            number = 3
        self.taken.add(number)
        return Operand("r", bits, register_name(number, bits), number)

    def _immediate(self, kind: str) -> Operand:
        bits = int(kind[1:])
        value = values.integer(self.rng, bits)
        if kind == "i8":
            value &= self.form.imm_mask
            return Operand("i", 8, str(value), value=value)
        signed = value - (1 << bits) if value >> bits - 1 and bits < 64 else value
        return Operand("i", bits, str(signed), value=value)

    def _target(self, short: bool) -> Operand:
        place, rng = self.layout, self.rng
        near = rng.choice((rng.randint(-100, -1), rng.randint(32, 120)))
        far = rng.choice((rng.randint(-0x3F0, -0x90), rng.randint(0xA0, 0xB00)))
        address = place.entry + (near if short or rng.random() < 0.5 else far)
        return Operand("i", 64, hex(address), value=address)

    # ---- memory operands --------------------------------------------------------------------------------------------
    def _memory(self, kind: str) -> Operand:
        bits = int(kind[1:]) * (8 if kind[0] == "p" else 1)
        operand = Operand("m", bits, "", address=self._address(bits))
        size_word = "" if kind[0] == "p" else SIZE_WORDS[bits] + " "
        operand.text = f"{size_word}[{self._shape(operand)}]"
        content = self._content(bits)
        if content is not None:
            self.set(operand, content)
        return operand

    def _content(self, bits: int) -> int | None:
        rng, lanes = self.rng, self.form.lanes
        if lanes in ("f80", "bcd"):
            return values.f80_value(rng) if lanes == "f80" else values.packed_bcd(rng)
        if lanes == "int" and bits in (8, 16, 32, 64):
            return values.integer(rng, bits)
        return values.vector(rng, lanes, bits) if bits in (8, 16, 32, 64, 128) else None

    def _address(self, bits: int) -> int:
        place, rng, size = self.layout, self.rng, max(bits // 8, 1)
        alignment = 16 if self.form.aligned and (bits >= 128 and bits != 224) else 1
        if self.place:
            end_of_data = place.data + 2 * PAGE
            return {"hole": place.hole + 16 * rng.randrange(64),
                    "into-hole": place.hole if size == 1 or alignment > 1 else end_of_data - rng.randint(1, size - 1),
                    "read-only": place.read_only + 16 * rng.randrange(128)}[self.place]
        if rng.random() < PAGE_CROSSING_SHARE and alignment == 1 and size > 1:
            return place.data + PAGE - rng.randint(1, size - 1)
        low, high = place.data_window.base + 0x100, place.data_window.end - 0x100 - size
        address = rng.randint(low, max(low, high))
        return address & -alignment

    def _shape(self, operand: Operand) -> str:
        if self.mode == 16:
            return self._shape_16(operand)
        shapes = SHAPES_64 if self.mode == 64 else SHAPES_32
        shape = self.rng.choice([s for s in shapes if not s.startswith("rsp") or not self.place and operand.bits <= 128])
        if shape.startswith("rsp"):
            return self._shape_stack(operand, indexed=shape.endswith("i"))
        if shape == "rip":
            return "rip + @DISP@"
        if shape == "abs":
            return hex(operand.address)
        return self._shape_general(operand, shape)

    def _shape_general(self, operand: Operand, shape: str) -> str:
        """base + index * scale + displacement; the base is computed to fit, modulo the address width."""
        rng, bits = self.rng, 32 if self.mode == 32 or shape == "a32" else 64
        parts, mask = shape.replace("a32", "b+i+8").split("+"), (1 << bits) - 1
        disp = {"8": rng.randint(-128, 127), "32": rng.randint(-1 << 31, (1 << 31) - 1)}.get(parts[-1], 0)
        rest, text = operand.address - disp, []
        if "b" in parts:
            base = self._address_register()
            text.append(register_name(base, bits))
        if "i" in parts:
            index, scale = self._address_register(), rng.choice((1, 2, 4, 8))
            text.append(f"{register_name(index, bits)}*{scale}")
            if "b" in parts:
                rest -= self.state.gpr[index] * scale
            else:
                disp += rest % scale
                self._set_address_register(index, (operand.address - disp) // scale & mask, bits)
        if "b" in parts:
            self._set_address_register(base, rest & mask, bits)
        return " + ".join(text) + (f" + {disp}" if disp > 0 else f" - {-disp}" if disp else "")

    def _address_register(self) -> int:
        free = [n for n in range(8 if self.legacy or self.mode != 64 else 16) if n not in self.taken]
        number = self.rng.choice(free)
        self.taken.add(number)
        return number

    def _set_address_register(self, number: int, value: int, bits: int) -> None:
        garbage = self.rng.getrandbits(32) << 32 if bits == 32 and self.mode == 64 else 0
        self.state.gpr[number] = (value | garbage) & MASK64

    def _shape_stack(self, operand: Operand, indexed: bool) -> str:
        stack, alignment = self.state.gpr[RSP], 16 if operand.bits == 128 and self.form.aligned else 1
        operand.address = stack + self.rng.randint(-0x80, 0x80) // alignment * alignment
        disp, name, text = operand.address - stack, register_name(RSP, self.mode), ""
        if indexed:
            index, scale = self._address_register(), self.rng.choice((1, 2, 4, 8))
            value = self.rng.randint(0, 6)
            self._set_address_register(index, value, self.mode)
            text, disp = f" + {register_name(index, self.mode)}*{scale}", disp - value * scale
        return f"{name}{text} {'+' if disp >= 0 else '-'} {abs(disp)}"

    def _shape_16(self, operand: Operand) -> str:
        pairs = [p for p in PAIRS_16 if not self.taken & set(p)]
        base, index = self.rng.choice(pairs)
        if base is None:
            return hex(operand.address)
        disp = self.rng.choice((0, self.rng.randint(-128, 127), self.rng.randint(-0x8000, 0x7FFF)))
        rest, gpr = operand.address - disp, self.state.gpr
        text = register_name(base, 16)
        if index is not None:
            rest -= gpr[index]
            text += f" + {register_name(index, 16)}"
        gpr[base] = gpr[base] & ~0xFFFF | rest & 0xFFFF
        self.taken |= {base, index}
        return text + (f" + {disp}" if disp > 0 else f" - {-disp}" if disp else "")

    # ---- machine code -----------------------------------------------------------------------------------------------
    def _assemble(self) -> tuple[str, bytes]:
        text = self.form.text
        for kind, operand in zip(self.form.operands, self.operands):
            text = text.replace(f"{{{kind}}}", operand.text, 1)
        entry = self.layout.entry
        if "@DISP@" in text:
            length = len(assemble(text.replace("@DISP@", str(RIP_PLACEHOLDER)), self.mode, entry))
            disp = self.memory_operand.address - entry - length
            text = text.replace("@DISP@", str(disp))
        return text, assemble(text, self.mode, entry)


