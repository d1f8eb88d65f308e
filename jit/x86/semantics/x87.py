"""x87 floating point: loads, stores, arithmetic, comparisons, transcendental functions, control (SDM vol. 2; vol. 1 ch. 8).

The work is done by snippets of host code (jit/x86/x87.py says what they leave out); environments and states in memory are
in fxsave.py.  FIP and FDP are kept, as offsets; FOP, FCS and FDS read as 0, as on processors that deprecate them.
"""
from __future__ import annotations

from jit.ir import Slot, Value
from jit.x86.builder import Builder, semantics
from jit.x86.insn import Operand
from jit.x86.semantics.vector import raise_pending
from jit.x86.state import Cr0, Gpr, Mode, Vector
from jit.x86.x87 import (
    ALL_CONDITIONS, B, BASE, C0, C1, C2, C3, CLOBBERS, REMAINDER_STATUS, TOP_MASK, TOP_SHIFT, VALUE, Snippet,
    commit_text,
)

FCW = Slot(BASE)
STORED_HIGH = Slot(BASE + VALUE + 8)    # upper part of an 80-bit value on its way to memory
COMPARED = C0 | C1 | C2 | C3
INIT_CONTROL, FCW_FIXED, FCW_VALID = 0x37F, 1 << 6, 0x1F7F          # bit 6 of FCW always reads as one

# Host instructions that take ST(1) and ST(0), pop, and leave ST(1) op ST(0).
POP_ARITHMETIC = {"add": "faddp", "mul": "fmulp", "sub": ".byte 0xDE, 0xE9", "div": ".byte 0xDE, 0xF9"}
FLOAT_SUFFIX = {32: "s", 64: "l"}
INTEGER_SUFFIX = {16: "s", 32: "l", 64: "ll"}
MOV_SUFFIX = {16: "w", 32: "l", 64: "q"}
OPERATIONS = ("add", "mul", "sub", "subr", "div", "divr")


# --- running a snippet
def begin(b: Builder) -> None:
    """#NM, then #MF for what an earlier instruction left pending."""
    b.require_fpu()
    raise_pending(b)


def run(b: Builder, snippet: Snippet, *extra: Value, setup: str = "", finish: str = "", out: str = "", bits: int = 0) -> Value:
    """Emit a snippet.  Operand $0 is the result if there is one; the address of FCW follows, then `extra`."""
    p = "$1" if out else "$0"
    constraints = ",".join([*([out] if out else []), "r", *["r"] * len(extra), CLOBBERS])
    return b.host(snippet.text(p, setup, finish), constraints, bits, b.slot_address(FCW), *extra)


def remember(b: Builder, memory: Operand | None = None) -> None:
    """FIP and, for a memory operand, FDP of a non-control instruction."""
    b.set_field("fip", b.this_pc())
    if memory:
        b.set_field("fdp", b.offset(memory))


def number(op: Operand) -> int:
    assert op.register and op.register.kind == "st"
    return op.register.number


def with_memory(b: Builder, snippet: Snippet, op: Operand) -> None:
    """Run a snippet whose memory operand is a guest's of 16 to 80 bits."""
    address = b.address(op)
    remember(b, op)
    if op.bits == 80:
        low, high = b.mem_load(address, 64), b.mem_load(address + 8, 16)
        run(b, snippet, low, high, setup=f"movq $1, {VALUE}($0); movw $2, {VALUE + 8}($0)")
    else:
        value = b.mem_load(address, op.bits)
        run(b, snippet, value, setup=f"mov{MOV_SUFFIX[op.bits]} $1, {VALUE}($0)")


# --- loads
CONSTANTS = ("fld1", "fldl2t", "fldl2e", "fldpi", "fldlg2", "fldln2", "fldz")


@semantics("fld")
def fld(b: Builder, src: Operand) -> None:
    begin(b)
    if src.kind == "reg":
        remember(b)
        run(b, Snippet("fld %st(0)", loads=(number(src),), results=(0,), push=1, fast=""))
    else:
        suffix = {32: "s", 64: "l", 80: "t"}[src.bits]
        with_memory(b, Snippet(f"fld{suffix} {{m}}", results=(0,), push=1), src)


@semantics("fild")
def fild(b: Builder, src: Operand) -> None:
    begin(b)
    with_memory(b, Snippet(f"fild{INTEGER_SUFFIX[src.bits]} {{m}}", results=(0,), push=1), src)


@semantics("fbld")
def fbld(b: Builder, src: Operand) -> None:
    begin(b)
    with_memory(b, Snippet("fbld {m}", results=(0,), push=1), src)


@semantics(*CONSTANTS)
def load_constant(b: Builder) -> None:
    begin(b)
    remember(b)
    run(b, Snippet(b.insn.mnemonic, results=(0,), push=1))


# --- stores: the value is computed, guest memory is written (which may fault), then FSW and TOP change
@semantics("fst", "fstp")
def fst(b: Builder, dst: Operand) -> None:
    begin(b)
    pop = int(b.insn.mnemonic == "fstp")
    if dst.kind == "reg":
        remember(b)
        run(b, Snippet("fld %st(0)", loads=(0,), results=((number(dst) - pop) & 7,), pop=pop, fast=""))
    else:
        _store(b, f"fstp{ {32: 's', 64: 'l', 80: 't'}[dst.bits] } {{m}}", dst, pop)


@semantics("fist", "fistp", "fisttp")
def fist(b: Builder, dst: Operand) -> None:
    begin(b)
    host = "fisttp" if b.insn.mnemonic == "fisttp" else "fistp"
    _store(b, f"{host}{INTEGER_SUFFIX[dst.bits]} {{m}}", dst, int(b.insn.mnemonic != "fist"))


@semantics("fbstp")
def fbstp(b: Builder, dst: Operand) -> None:
    begin(b)
    _store(b, "fbstp {m}", dst, 1)


def _store(b: Builder, body: str, dst: Operand, pop: int) -> None:
    """`body` pops on the host whether the guest pops or not.  What was in memory goes along, for an unmasked exception
    keeps the host from storing."""
    bits = min(dst.bits, 64)
    mov = f"mov{MOV_SUFFIX[bits]}"
    address = b.address(dst)
    remember(b, dst)
    b.probe(address, dst.bits // 8)
    old, setup = [b.mem_load(address, bits)], f"{mov} $2, {VALUE}($1)"
    if dst.bits == 80:
        old.append(b.mem_load(address + 8, 16))
        setup += f"; movw $3, {VALUE + 8}($1)"
    snippet = Snippet(body, loads=(0,), commit=False)
    value = run(b, snippet, *old, setup=setup, finish=f"{mov} {VALUE}($1), $0", out="=&r", bits=bits)
    b.mem_store(address, value)
    if dst.bits == 80:
        b.mem_store(address + 8, b.host("movw ($1), $0", "=r,r,~{memory}", 16, b.slot_address(STORED_HIGH)))
    b.host(commit_text("$0", pop), f"r,{CLOBBERS}", 0, b.slot_address(FCW))


# --- arithmetic
@semantics(*(f"f{name}" for name in OPERATIONS))
def arithmetic(b: Builder, *operands: Operand) -> None:
    """FADD m; FADD ST(i), meaning ST(0) += ST(i); FADD ST(i), ST(0)."""
    begin(b)
    name = b.insn.mnemonic[1:]
    if operands[0].kind == "mem":
        body = f"f{name}{FLOAT_SUFFIX[operands[0].bits]} {{m}}"
        return with_memory(b, Snippet(body, loads=(0,), results=(0,)), operands[0])
    target, source = [0, *map(number, operands)][-2:]
    return _registers(b, name, target, source, 0)


@semantics(*(f"f{name}p" for name in OPERATIONS))
def arithmetic_pop(b: Builder, *operands: Operand) -> None:
    begin(b)
    _registers(b, b.insn.mnemonic[1:-1], number(operands[0]) if operands else 1, 0, 1)


def _registers(b: Builder, name: str, target: int, source: int, pop: int) -> None:
    """ST(target) = ST(target) op ST(source); the reversed operations swap the operands."""
    remember(b)
    reverse = name.endswith("r")
    loads = (source, target) if reverse else (target, source)
    run(b, Snippet(POP_ARITHMETIC[name.removesuffix("r")], loads=loads, results=((target - pop) & 7,), pop=pop))


@semantics(*(f"fi{name}" for name in OPERATIONS))
def integer_arithmetic(b: Builder, src: Operand) -> None:
    begin(b)
    body = f"{b.insn.mnemonic}{INTEGER_SUFFIX[src.bits]} {{m}}"
    with_memory(b, Snippet(body, loads=(0,), results=(0,)), src)


RANGE_LIMITED = C1 | C2                 # C2: the operand was out of range
IN_PLACE = {
    name: Snippet(name, loads=(0,), results=(0,)) for name in ("fchs", "fabs", "fsqrt", "frndint", "f2xm1")
} | {
    name: Snippet(name, loads=(0,), results=(0,), conditions=RANGE_LIMITED) for name in ("fsin", "fcos")
} | {
    "fscale": Snippet("fscale", loads=(1, 0), results=(0,), discard=1),
    **{name: Snippet(name, loads=(1, 0), results=(0,), discard=1, conditions=ALL_CONDITIONS,
                     stopped_conditions=C1 | C2, status=REMAINDER_STATUS) for name in ("fprem", "fprem1")},
    "fyl2x": Snippet("fyl2x", loads=(1, 0), results=(0,), pop=1),
    "fyl2xp1": Snippet("fyl2xp1", loads=(1, 0), results=(0,), pop=1),
    "fpatan": Snippet("fpatan", loads=(1, 0), results=(0,), pop=1),
    "fxtract": Snippet("fxtract", loads=(0,), results=(0, 1), push=1),
    "fptan": Snippet("fptan", loads=(0,), results=(0, 1), push=1, conditions=RANGE_LIMITED, stops_on_c2=True),
    "fsincos": Snippet("fsincos", loads=(0,), results=(0, 1), push=1, conditions=RANGE_LIMITED, stops_on_c2=True),
    "fxam": Snippet("fxam", loads=(0,), discard=1, conditions=ALL_CONDITIONS),
    "ftst": Snippet("ftst", loads=(0,), discard=1, conditions=COMPARED),
    "fcompp": Snippet("fcompp", loads=(1, 0), pop=2, conditions=COMPARED),
    "fucompp": Snippet("fucompp", loads=(1, 0), pop=2, conditions=COMPARED),
}


@semantics(*IN_PLACE)
def in_place(b: Builder) -> None:
    begin(b)
    remember(b)
    run(b, IN_PLACE[b.insn.mnemonic])


@semantics("fxch")
def fxch(b: Builder, *operands: Operand) -> None:
    begin(b)
    remember(b)
    i = number(operands[-1]) if operands else 1
    run(b, Snippet("fxch %st(1)", loads=(i, 0), results=(0, i)))


# --- comparisons
@semantics("fcom", "fcomp", "fucom", "fucomp")
def fcom(b: Builder, *operands: Operand) -> None:
    begin(b)
    name = b.insn.mnemonic
    pop = int(name.endswith("p"))
    if operands and operands[0].kind == "mem":
        body = f"fcomp{FLOAT_SUFFIX[operands[0].bits]} {{m}}"
        return with_memory(b, Snippet(body, loads=(0,), pop=pop, conditions=COMPARED), operands[0])
    i = number(operands[-1]) if operands else 1
    remember(b)
    body = "fucompp" if name.startswith("fu") else "fcompp"
    return run(b, Snippet(body, loads=(i, 0), pop=pop, conditions=COMPARED))


@semantics("ficom", "ficomp")
def ficom(b: Builder, src: Operand) -> None:
    begin(b)
    pop = int(b.insn.mnemonic == "ficomp")
    with_memory(b, Snippet(f"ficomp{INTEGER_SUFFIX[src.bits]} {{m}}", loads=(0,), pop=pop, conditions=COMPARED), src)


@semantics("fcomi", "fcompi", "fucomi", "fucompi")
def fcomi(b: Builder, *operands: Operand) -> None:
    begin(b)
    remember(b)
    name = b.insn.mnemonic
    snippet = Snippet("fucomi %st(1), %st" if name.startswith("fu") else "fcomi %st(1), %st",
                      loads=(number(operands[-1]), 0), discard=2, pop=int(name.endswith("pi")))
    b.flags.comparison(run(b, snippet, finish="lahf; movzbl %ah, %edi", out="=&{di}", bits=64))


@semantics("fcmovb", "fcmove", "fcmovbe", "fcmovu", "fcmovnb", "fcmovne", "fcmovnbe", "fcmovnu")
def fcmov(b: Builder, *operands: Operand) -> None:
    begin(b)
    remember(b)
    suffix = b.insn.mnemonic.removeprefix("fcmov")
    condition = b.flags.test({"u": "p", "nu": "np", "nb": "ae", "nbe": "a"}.get(suffix, suffix))
    snippet = Snippet("testb $1, $1; fcmovne %st(1), %st", loads=(number(operands[-1]), 0), results=(0,), discard=1)
    run(b, snippet, condition.zext(8))


# --- control
@semantics("fincstp", "fdecstp")
def move_top(b: Builder) -> None:
    begin(b)
    fsw = b.field("fsw")
    step = 1 if b.insn.mnemonic == "fincstp" else -1
    top = (fsw + (step << TOP_SHIFT)) & TOP_MASK
    b.set_field("fsw", (fsw & ~(TOP_MASK | C1)) | top)


@semantics("ffree", "ffreep")
def ffree(b: Builder, op: Operand) -> None:
    begin(b)
    fsw = b.field("fsw")
    physical = ((fsw >> TOP_SHIFT) + number(op)) & 7
    tags = b.field("ftw") & ~(b.const(1, 64) << physical)
    if b.insn.mnemonic == "ffreep":
        tags = tags & ~(b.const(1, 64) << ((fsw >> TOP_SHIFT) & 7))
        b.set_field("fsw", (fsw & ~TOP_MASK) | ((fsw + (1 << TOP_SHIFT)) & TOP_MASK))
    b.set_field("ftw", tags)


@semantics("fnop")
def fnop(b: Builder) -> None:
    begin(b)


@semantics("feni8087_nop", "fdisi8087_nop", "fsetpm")
def old_nop(b: Builder) -> None:
    """Instructions of the 8087 and 80287 that later processors ignore."""
    b.require_fpu()


@semantics("wait", "fwait")
def wait(b: Builder) -> None:
    """#NM only when CR0.MP and CR0.TS are both set."""
    if not b.insn.mode & Mode.FPU:
        both = int(Cr0.MP | Cr0.TS)
        b.raise_if((b.field("cr0") & both).eq(both), Vector.NM)
    raise_pending(b)


@semantics("fninit")
def fninit(b: Builder) -> None:
    b.require_fpu()
    clear_host_flags(b)
    for name, value in (("fcw", INIT_CONTROL), ("fsw", 0), ("ftw", 0), ("fip", 0), ("fdp", 0), ("fop", 0)):
        b.set_field(name, value)


@semantics("fnclex")
def fnclex(b: Builder) -> None:
    b.require_fpu()
    clear_host_flags(b)
    b.set_field("fsw", b.field("fsw") & ~(0xFF | B))


def clear_host_flags(b: Builder) -> None:
    """The host's flags must stay a subset of the guest's: wherever FSW loses flags."""
    b.host("fnclex", "", 0)


@semantics("fnstsw")
def fnstsw(b: Builder, dst: Operand) -> None:
    b.require_fpu()
    status = b.field("fsw").trunc(16)
    if dst.kind == "mem":
        dst.bits = 16
        b.mem_store(b.address(dst), status)
    else:
        b.set_reg(Gpr.RAX, status)


@semantics("fnstcw")
def fnstcw(b: Builder, dst: Operand) -> None:
    b.require_fpu()
    dst.bits = 16
    b.mem_store(b.address(dst), b.field("fcw").trunc(16))


@semantics("fldcw")
def fldcw(b: Builder, src: Operand) -> None:
    """A control word that unmasks an exception whose flag is set makes it pending."""
    begin(b)
    src.bits = 16
    value = b.mem_load(b.address(src), 16).zext(64)
    set_control(b, value, b.field("fsw"))


def set_control(b: Builder, value: Value, fsw: Value) -> None:
    """FCW = value; FSW = fsw with ES and B as the masks have them."""
    fcw = (value & FCW_VALID) | FCW_FIXED
    pending = (fsw & ~fcw & 0x3F).ne(0)
    b.set_field("fcw", fcw)
    b.set_field("fsw", (fsw & ~(0x80 | B)) | b.select(pending, b.const(0x80 | B, 64), 0))
