"""Makes a random initial state useful for an instruction: dividends that fit, pointers that point, stacks with contents."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import values
from ..state import (
    ARITHMETIC,
    MASK64,
    RAX,
    RBP,
    RBX,
    RCX,
    RDI,
    RDX,
    RSI,
    RSP,
    Flags,
    Fpu,
    State,
    SwBit,
    Window,
    full_tags,
    pack_fxsave,
)

if TYPE_CHECKING:
    from .build import Builder

SETUPS: dict[str, Callable[[Builder], None]] = {}
STRING_MAX = 24                     # elements of a repeated string instruction
FAULTING_DIVISION_SHARE = 0.15


def setup(function: Callable[[Builder], None]) -> Callable[[Builder], None]:
    SETUPS[function.__name__] = function
    return function


def _put(b: Builder, number: int, bits: int, value: int) -> None:
    """Writes the low `bits` of a register, the rest stays."""
    mask = (1 << bits) - 1
    b.state.gpr[number] = b.state.gpr[number] & ~mask | value & mask


@setup
def count(b: Builder) -> None:
    _put(b, RCX, 8, b.rng.choice(values.SHIFT_COUNTS))


def _dividend(b: Builder, value: int, bits: int) -> None:
    if bits == 8:
        _put(b, RAX, 16, value)
    else:
        _put(b, RAX, bits, value)
        _put(b, RDX, bits, value >> bits)


@setup
def div(b: Builder) -> None:
    """Mostly a quotient that fits; a divisor in RAX or RDX stays as it is."""
    target, rng = b.operands[0], b.rng
    if rng.random() < FAULTING_DIVISION_SHARE or target.kind == "r" and target.number in (RAX, RDX):
        return
    divisor = values.integer(rng, target.bits) or 3
    b.set(target, divisor)
    _dividend(b, values.integer(rng, target.bits) * divisor + rng.randrange(divisor), target.bits)


@setup
def idiv(b: Builder) -> None:
    """As `div`, signed; the most negative quotient is among the edges."""
    target, rng = b.operands[0], b.rng
    if rng.random() < FAULTING_DIVISION_SHARE or target.kind == "r" and target.number in (RAX, RDX):
        return
    half = 1 << target.bits - 1
    divisor = (values.integer(rng, target.bits) ^ half) - half or -3
    quotient = (values.integer(rng, target.bits) ^ half) - half
    remainder = rng.randrange(abs(divisor))
    b.set(target, divisor)
    dividend = divisor * quotient
    _dividend(b, dividend + (remainder if dividend >= 0 else -remainder), target.bits)


@setup
def compare_exchange(b: Builder) -> None:
    """In half of the cases the comparison succeeds."""
    if b.rng.random() < 0.5:
        _put(b, RAX, b.operands[0].bits, b.get(b.operands[0]))


@setup
def compare_exchange_pair(b: Builder) -> None:
    memory = b.memory_operand
    half = memory.bits // 2
    if not b.in_window(memory):
        return
    if memory.bits == 128:
        b.set(memory, b.rng.getrandbits(128))
    if b.rng.random() < 0.5:
        _put(b, RAX, half, b.get(memory))
        _put(b, RDX, half, b.get(memory) >> half)


@setup
def bit_offset(b: Builder) -> None:
    """A register bit offset reaches memory beside the operand: keep it within the window."""
    offset = b.operands[1]
    b.set(offset, b.rng.choice((0, 1, -1, offset.bits - 1, offset.bits, b.rng.randint(-1024, 1023))))


@setup
def bit_index(b: Builder) -> None:
    b.set(b.operands[1], values.word(b.rng))


@setup
def string(b: Builder) -> None:
    """RSI and RDI in the window, overlapping now and then, RCX small, both directions."""
    rng, window = b.rng, b.layout.data_window
    middle = window.base + window.size // 2
    source = middle + rng.randint(-0x80, 0x80)
    target = source + rng.choice((rng.randint(-12, 12), rng.randint(-0x80, 0x80), 0))
    address_bits = b.mode
    for number, value in ((RSI, source), (RDI, target), (RCX, rng.choice((0, 1, 2, rng.randint(0, STRING_MAX))))):
        _put(b, number, address_bits, value)
    if rng.random() < 0.4:
        b.state.rflags |= int(Flags.DF)
    if rng.random() < 0.6:                      # long equal runs, so that CMPS and SCAS go on
        data = bytearray(b.state.memory[window.base])
        data[:] = bytes([rng.choice((0, 0xFF, 0x41))]) * len(data)
        data[rng.randrange(0x180, 0x280)] ^= 1
        b.state.memory[window.base] = bytes(data)
        _put(b, RAX, 64, data[0] * 0x0101010101010101)
        if b.mode != 64:
            b.state.gpr[RAX] &= 0xFFFF_FFFF


@setup
def pointers(b: Builder) -> None:
    """RBX, RSI and RDI in the data window, RCX small, a return address on the stack."""
    window = b.layout.data_window
    for number in (RBX, RSI, RDI):
        b.state.gpr[number] = window.base + 0x200 + 8 * b.rng.randint(-8, 8)
    b.state.gpr[RCX] = b.rng.choice((0, 1, 2, 5))
    _put(b, RAX, 8, b.rng.randrange(0x40))          # an index for XLAT
    return_address(b)


@setup
def table_lookup(b: Builder) -> None:
    _put(b, RBX, b.mode, b.layout.data_window.base + b.rng.randrange(0x200))


@setup
def flags_on_stack(b: Builder) -> None:
    """An image for POPF whose system bits (TF, IF, IOPL, NT, RF, VM) are as they are now."""
    image = int(Flags.FIXED | Flags.IF) | b.rng.getrandbits(12) & int(ARITHMETIC | Flags.DF)
    if b.rng.random() < 0.5 and b.form.mnemonic != "popf":     # ID is beyond a 16-bit image
        image |= int(Flags.ID)
    b.state.store(b.state.gpr[RSP], 8, image)


@setup
def unaligned_stack(b: Builder) -> None:
    b.state.gpr[RSP] += b.rng.choice((0, 0, 0, 1, -3, 6))


@setup
def frame(b: Builder) -> None:
    """RBP is a frame pointer in the stack window, and an older frame pointer lies there."""
    place = b.layout.stack_window
    pointer = place.base + 0x100 + b.rng.randint(-0x40, 0x40)
    _put(b, RBP, b.mode, pointer)
    b.state.store(pointer, 8, values.word(b.rng))
    if b.mode != 64:
        b.state.gpr[RBP] &= 0xFFFF_FFFF


@setup
def loop_count(b: Builder) -> None:
    b.state.gpr[RCX] = b.rng.choice((0, 1, 2, 1 << 16, 1 << 32, (1 << 32) + 1, MASK64)) & ((1 << max(b.mode, 32)) - 1)


def _code_address(b: Builder) -> int:
    return b.layout.entry + b.rng.randint(0x80, 0x800)


@setup
def return_address(b: Builder) -> None:
    stack = b.layout.stack_window
    b.state.store(b.state.gpr[RSP], 8, _code_address(b))
    assert stack.contains(b.state.gpr[RSP], 8)


@setup
def branch_target(b: Builder) -> None:
    b.set(b.operands[0], _code_address(b))


@setup
def bound(b: Builder) -> None:
    if b.rng.random() < 0.5:
        b.set(b.operands[0], 5)
        half = b.memory_operand.bits // 2
        b.set(b.memory_operand, b.rng.choice((0, 5)) | b.rng.choice((5, 9)) << half)


# ---- x87 ------------------------------------------------------------------------------------------------------------

ROUNDING_SHIFT, PRECISIONS, CW_MASKS = 10, (0, 2, 3, 3), 0x3F


def _fpu_control(b: Builder) -> None:
    b.state.fpu.cw = 0x40 | CW_MASKS | b.rng.choice(PRECISIONS) << 8 | b.rng.choice((0, 0, 1, 2, 3)) << ROUNDING_SHIFT


@setup
def fpu(b: Builder) -> None:
    """Any rounding and precision; some registers empty in a fifth of the cases (stack faults)."""
    _fpu_control(b)
    state, rng = b.state.fpu, b.rng
    present = 0xFF if rng.random() < 0.8 else rng.getrandbits(8)
    state.tw = full_tags(present, state.top, state.st)


@setup
def fpu_push(b: Builder) -> None:
    """As `fpu`, with room on the stack in most cases."""
    fpu(b)
    state = b.state.fpu
    free = state.top - 1 & 7
    if b.rng.random() < 0.85:
        state.tw |= 3 << 2 * free


@setup
def fpu_push_two(b: Builder) -> None:
    fpu_push(b)


@setup
def fpu_small(b: Builder) -> None:
    """Arguments within the range of F2XM1, FSIN and the like."""
    fpu_push(b)
    for i in (0, 1):
        b.state.fpu.st[i] = values.f80(b.rng.getrandbits(1) if i else 0, b.rng.randint(0x3FF0, 0x3FFD),
                                       1 << 63 | b.rng.getrandbits(63))
    b.state.fpu.retag()


@setup
def fpu_signed_small(b: Builder) -> None:
    fpu_small(b)
    b.state.fpu.st[0] |= b.rng.getrandbits(1) << 79


@setup
def fpu_unmasked(b: Builder) -> None:
    """One or more exceptions unmasked: ES is set, and results of unmasked exceptions are withheld."""
    fpu(b)
    b.state.fpu.cw &= ~(b.rng.randint(1, 0x3F))


@setup
def fpu_unmasked_push(b: Builder) -> None:
    fpu_push(b)
    b.state.fpu.cw &= ~(b.rng.randint(1, 0x3F))


@setup
def fpu_pending(b: Builder) -> None:
    """An unmasked exception is pending: a waiting instruction raises #MF, a non-waiting one does not."""
    fpu(b)
    b.state.fpu.cw &= ~1
    b.state.fpu.sw |= int(SwBit.IE | SwBit.ES | SwBit.B)


@setup
def fpu_control_word(b: Builder) -> None:
    fpu(b)
    b.set(b.memory_operand, 0x40 | CW_MASKS | b.rng.choice((0, 2, 3)) << 8 | b.rng.randrange(4) << ROUNDING_SHIFT)


@setup
def fpu_status(b: Builder) -> None:
    fpu(b)
    b.state.fpu.sw |= b.rng.getrandbits(6) | b.rng.getrandbits(1) << 6 | b.rng.getrandbits(3) << 8


def _hide(b: Builder, *pieces: tuple[int, int]) -> None:
    address = b.memory_operand.address
    b.undefined_memory += tuple(Window(address + at, size) for at, size in pieces)


@setup
def fpu_environment(b: Builder) -> None:
    """Upper halves, and the pointers to the last instruction and operand, are not compared."""
    fpu_status(b)
    short = b.memory_operand.bits // 8 in (14, 94)
    _hide(b, *([(6, 8)] if short else [(2, 2), (6, 2), (10, 18)]))


@setup
def fpu_environment_load(b: Builder) -> None:
    """A sane environment in memory: masked exceptions, no pending one."""
    fpu_status(b)
    memory, rng = b.memory_operand, b.rng
    if not b.in_window(memory):
        return
    step = 2 if memory.bits // 8 in (14, 94) else 4
    words = (0x40 | CW_MASKS | rng.choice((0, 2, 3)) << 8 | rng.randrange(4) << ROUNDING_SHIFT,
             rng.getrandbits(16) & 0x7F7F, rng.getrandbits(16))
    for i in range(7):
        b.state.store(memory.address + step * i, step, words[i] if i < 3 else 0)
    for i in range(8 if memory.bits // 8 > 28 else 0):
        b.state.store(memory.address + 7 * step + 10 * i, 10, values.f80_value(rng))


@setup
def fxsave(b: Builder) -> None:
    """Pointers to the last instruction and operand, MXCSR_MASK and the software-reserved end are not compared."""
    fpu(b)
    _hide(b, (5, 19), (28, 4), *((32 + 16 * i + 10, 6) for i in range(8)), (288 if b.mode != 64 else 416, 96))
    if b.mode != 64:
        _hide(b, (288, 224))


@setup
def fxrstor(b: Builder) -> None:
    """A valid image in memory, different from the state."""
    fpu(b)
    memory, rng = b.memory_operand, b.rng
    if not b.in_window(memory):
        return
    image = Fpu(cw=b.state.fpu.cw ^ 0xC00, sw=rng.randrange(8) << 11, st=[values.f80_value(rng) for _ in range(8)])
    image.tw = full_tags(rng.getrandbits(8), image.top, image.st)
    other = State(xmm=[values.vector(rng, "int") for _ in range(16)], mxcsr=0x1F80 | rng.randrange(4) << 13, fpu=image)
    data = b.state.memory[b.layout.data_window.base]
    at = memory.address - b.layout.data_window.base
    b.state.memory[b.layout.data_window.base] = data[:at] + pack_fxsave(other) + data[at + 512:]


# ---- SSE ------------------------------------------------------------------------------------------------------------

MXCSR_MASKS, MXCSR_FLAGS, MXCSR_DAZ, MXCSR_FTZ, MXCSR_ROUNDING_SHIFT = 0x1F80, 0x3F, 1 << 6, 1 << 15, 13


@setup
def rounding(b: Builder) -> None:
    """Any rounding, flush-to-zero, denormals-are-zero, and sticky flags that must stay."""
    rng = b.rng
    b.state.mxcsr = (MXCSR_MASKS | rng.randrange(4) << MXCSR_ROUNDING_SHIFT | rng.choice((0, 0, MXCSR_FTZ))
                     | rng.choice((0, 0, MXCSR_DAZ)) | rng.choice((0, 0, rng.getrandbits(6))))


@setup
def unmasked(b: Builder) -> None:
    """Some exceptions unmasked, no flags yet: #XM before any write."""
    rounding(b)
    b.state.mxcsr &= ~(MXCSR_FLAGS | b.rng.randint(1, 0x3F) << 7)


@setup
def mxcsr_operand(b: Builder) -> None:
    rounding(b)
    b.set(b.memory_operand, b.rng.choice((0x1F80, 0x9FC0, 0x7FBF, 0x1FBF, 0xFFFF, 0x1_0000)))


@setup
def masked_store(b: Builder) -> None:
    """RDI points at the destination."""
    _put(b, RDI, b.mode, b.layout.data_window.base + 0x180 + b.rng.randrange(16))


@setup
def string_lengths(b: Builder) -> None:
    """Explicit lengths in EAX and EDX for PCMPESTRx: in and out of range, negative too."""
    for number in (RAX, RDX):
        b.state.gpr[number] = b.rng.choice((0, 1, 5, 8, 15, 16, 17, MASK64, MASK64 - 6, 1 << 31, values.word(b.rng)))
        if b.mode != 64:
            b.state.gpr[number] &= 0xFFFF_FFFF
    text(b)


@setup
def text(b: Builder) -> None:
    """Few distinct bytes with zeros among them, so that comparisons hit."""
    rng = b.rng
    alphabet = rng.choice((b"\0ab", b"abc", b"a\0", b"\0\1az\x80\xff"))

    def make() -> int:
        return int.from_bytes(bytes(rng.choice(alphabet) for _ in range(16)), "little")

    b.state.xmm = [make() for _ in range(16 if b.mode == 64 else 8)] + [0] * (0 if b.mode == 64 else 8)
    if b.memory_operand:
        b.set(b.memory_operand, make())


@setup
def xmm_count(b: Builder) -> None:
    """A shift count in the low quadword of the source; sometimes too large, sometimes only by its upper half."""
    source = b.operands[1]
    value = b.rng.choice((*values.SHIFT_COUNTS, 1 << 32, 1 << 63)) | b.rng.getrandbits(64) << 64
    if source.kind == "x":
        b.state.xmm[source.number] = value
    elif source.bits == 128:
        b.set(source, value)


@setup
def mmx_count(b: Builder) -> None:
    source = b.operands[1]
    value = b.rng.choice((*values.SHIFT_COUNTS, 1 << 32, 1 << 63))
    if source.kind == "q":
        b.state.fpu.st[source.number] = 0xFFFF << 64 | value
        b.state.fpu.retag()
    else:
        b.set(source, value)
