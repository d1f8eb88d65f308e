"""Micro-ops to LLVM IR text.

A stencil is one instruction whose operands are holes: absolute symbols that the object's relocations name.  Every piece of
guest code is a function `void (i64 cpu)` in the preserve_none convention (cpu stays in one host register, nothing is saved)
that ends in a tail call of whatever comes next.  Slow paths call runtime functions through trampolines (jit/arena.py) from
inline assembly, so that LLVM builds no stack frame for them.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable

from jit.ir import FOR_WRITE, OPS, Slot, Uop, Value
from jit.state import JUMP_ENTRIES, JUMP_ENTRY, NO_ERROR_CODE, PAGE_BITS, PAGE_SIZE, TLB_ENTRIES, TLB_ENTRY
from jit.words import Layout

HOLE = "h_"
VECTOR = "<2 x i64>"
VECTOR_OPS = {"and", "or", "xor", "select", "zext"}     # 128-bit micro-ops that work in vector registers
# A trampoline keeps every general register but rax (jit/arena.py), so that slow paths cost the fast ones no spills.
CLOBBERS = ",".join(f"~{{{r}}}" for r in (*(f"xmm{i}" for i in range(16)), "memory", "cc", "dirflag", "fpsr", "flags"))
ARGUMENT_REGISTERS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
WIDE_KINDS = "wmat"                     # hole kinds that need 64 bits, with next and pc; others fit 32, sign-extended
NARROW_RANGES = {8: "!3", 16: "!4", 32: "!5"}           # metadata in TAIL
RARELY = "!prof !9"
MOSTLY = "!prof !8"
TAIL = """
!1 = !{i64 -2147483648, i64 2147483648}
!2 = !{i64 -1, i64 -1}
!3 = !{i64 0, i64 256}
!4 = !{i64 0, i64 65536}
!5 = !{i64 0, i64 4294967296}
!8 = !{!"branch_weights", i32 2000, i32 1}
!9 = !{!"branch_weights", i32 1, i32 2000}
attributes #0 = { nounwind noredzone }
attributes #3 = { nounwind noredzone cold }
"""


def memory_type(bits: int) -> str:
    """The LLVM type in which a value travels to and from memory and host code."""
    return VECTOR if bits == 128 else f"i{bits}"


class Helpers:
    """Runtime functions that code may call: name -> index into cpu.helpers."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.index = {name: number for number, name in enumerate(names)}

    def __getitem__(self, name: str) -> int:
        return self.index[name]


class Module:
    """Text of one LLVM module: functions, and the declarations they turned out to need."""

    def __init__(self) -> None:
        self.functions: list[str] = []
        self.holes: dict[str, bool] = {}        # name -> is it 64 bits wide
        self.narrow_holes: dict[str, int] = {}  # name -> bits
        self.continuations: set[str] = set()
        self.intrinsics: set[str] = set()

    def text(self) -> str:
        lines = [f"@{HOLE}{name} = external hidden global i8, !absolute_symbol !{2 if wide else 1}"
                 for name, wide in sorted(self.holes.items())]
        lines += [f"@{HOLE}{name} = external hidden global i8, !absolute_symbol {NARROW_RANGES[bits]}"
                  for name, bits in sorted(self.narrow_holes.items())]
        lines += [f"declare preserve_nonecc void @{name}(i64)" for name in sorted(self.continuations)]
        lines += sorted(self.intrinsics)
        return "\n".join([*lines, *self.functions, TAIL])


class Function:
    """Lowers micro-ops into one LLVM function.  Subclasses say where CPU record slots live and how the end looks."""

    def __init__(self, module: Module, name: str, layout: Layout, helpers: Helpers):
        self.module, self.name, self.layout, self.helpers = module, name, layout, helpers
        self.lines: list[str] = []
        self.names: dict[int, str] = {}
        self.vectors: dict[int, str] = {}       # 128-bit values a second time, as <2 x i64>
        self.fault_labels: list[str] = []
        self._count = 0
        self._handlers: dict[str, Callable[[Uop], None]] = {
            "const": self._const, "hole": self._hole, "get": self._get, "put": self._put, "put_flags": self._put,
            "load": self._load, "store": self._store, "probe": self._probe, "call": self._call, "host": self._host,
            "slot_address": self._slot_address, "raise_if": self._raise_if, "goto": self._goto, "branch": self._branch,
            "indirect": self._indirect, "leave": self._leave,
        }

    # --- building blocks
    def new(self, prefix: str = "t") -> str:
        self._count += 1
        return f"%{prefix}{self._count}"

    def emit(self, expression: str) -> str:
        name = self.new()
        self.lines.append(f"{name} = {expression}")
        return name

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def hole(self, name: str) -> str:
        """An i64 operand for a hole: a constant expression, or for a 64-bit one a register that `movabs` loads."""
        wide = name in ("next", "pc") or (name[0] in WIDE_KINDS and name[1:].isdigit())
        self.module.holes[name] = wide
        symbol = f"ptrtoint (ptr @{HOLE}{name} to i64)"
        return self.emit(f'call i64 asm "movabsq $1, $0", "=r,i"(i64 {symbol})') if wide else symbol

    def narrow_hole(self, name: str, bits: int) -> str:
        """The low 8, 16 or 32 bits of a hole: a constant expression that fits an instruction's immediate field."""
        symbol = f"{name}.{bits}"
        self.module.narrow_holes[symbol] = bits
        return f"ptrtoint (ptr @{HOLE}{symbol} to i{bits})"

    def pointer(self, address: str) -> str:
        return self.emit(f"inttoptr i64 {address} to ptr")

    def record(self, offset: int | str, displacement: int = 0) -> str:
        """Pointer to cpu + offset."""
        if isinstance(offset, str):
            base = self.emit(f"add i64 %cpu, {self.hole(offset)}")
            return self.pointer(self.emit(f"add i64 {base}, {displacement}") if displacement else base)
        return self.pointer(self.emit(f"add i64 %cpu, {offset + displacement}"))

    def field(self, path: str) -> str:
        return self.record(self.layout.offset(path))

    def load_field(self, path: str) -> str:
        return self.emit(f"load i64, ptr {self.field(path)}")

    def store_field(self, path: str, value: str | int) -> None:
        self.lines.append(f"store i64 {value}, ptr {self.field(path)}")

    def value(self, value: Value) -> str:
        return self.names[value.number]

    def tail_call(self, continuation: str) -> None:
        self.module.continuations.add(continuation)
        self.lines += [f"musttail call preserve_nonecc void @{continuation}(i64 %cpu) #0", "ret void"]

    def branch_to(self, condition: str, yes: str, no: str, weight: str = "") -> None:
        self.lines.append(f"br i1 {condition}, label %{yes}, label %{no}{', ' + weight if weight else ''}")

    # --- the whole function
    def define(self, uops: list[Uop]) -> None:
        for uop in uops:
            self.lower(uop)
        if not uops or uops[-1].op not in ("goto", "branch", "indirect", "leave"):
            self.fall_through()
        self.close()

    def close(self) -> None:
        """Append what was put off and hand the text to the module."""
        for label in self.fault_labels:
            self.label(label)
            self.tail_call("FAULT")
        body = "\n".join(f"  {line}" if not line.endswith(":") else line for line in self.lines)
        self.module.functions.append(
            f"define preserve_nonecc void @{self.name}(i64 %cpu) #0 {{\nentry:\n{body}\n}}")

    def fall_through(self) -> None:
        self.tail_call("NEXT")

    def lower(self, uop: Uop) -> None:
        handler = self._handlers.get(uop.op)
        if handler:
            handler(uop)
        else:
            self._pure(uop)

    def vector(self, value: Value) -> str:
        """A 128-bit value for a vector register.  In pairs of general registers (LLVM's i128) its halves would be stored one by
        one, and the next 16-byte load could not be forwarded from them."""
        return self.vectors[value.number]

    def define_value(self, uop: Uop, name: str) -> None:
        assert uop.out
        self.names[uop.out.number] = name
        if uop.bits == 128:
            self.vectors[uop.out.number] = self.emit(f"bitcast i128 {name} to {VECTOR}")

    def define_vector(self, uop: Uop, name: str) -> None:
        assert uop.out
        self.vectors[uop.out.number] = name
        self.names[uop.out.number] = self.emit(f"bitcast {VECTOR} {name} to i128")

    # --- pure micro-ops, from the table
    def _pure(self, uop: Uop) -> None:
        if uop.bits == 128 and uop.op in VECTOR_OPS:
            return self._vector_op(uop)
        op = OPS[uop.op]
        a = [self.value(v) for v in uop.args]
        operand_bits = uop.args[-1].bits if op.compare or uop.op in ("zext", "sext", "trunc") else uop.bits
        kind = f"i{uop.bits if uop.op in ('zext', 'sext', 'trunc') else operand_bits}"
        text = op.llvm.format(t=kind, a=a[0], b=a[1] if len(a) > 1 else "", c=a[2] if len(a) > 2 else "",
                              **{"from": f"i{operand_bits}"})
        if "@llvm." in text:
            self._declare(text, kind)
        self.define_value(uop, self.emit(text))

    def _vector_op(self, uop: Uop) -> None:
        if uop.op == "zext":
            low = self.value(uop.args[0])
            low = low if uop.args[0].bits == 64 else self.emit(f"zext i{uop.args[0].bits} {low} to i64")
            return self.define_vector(uop, self.emit(f"insertelement {VECTOR} zeroinitializer, i64 {low}, i32 0"))
        a, b = (self.vector(v) for v in uop.args[-2:])
        if uop.op == "select":
            text = f"select i1 {self.value(uop.args[0])}, {VECTOR} {a}, {VECTOR} {b}"
        else:
            text = f"{uop.op} {VECTOR} {a}, {b}"
        return self.define_vector(uop, self.emit(text))

    def _declare(self, text: str, kind: str) -> None:
        symbol = text[text.index("@"):text.index("(")]
        arguments = text.count(f"{kind} ") - 1
        last = ", i1" if "i1 false" in text and kind != "i1" else ""
        self.module.intrinsics.add(f"declare {kind} {symbol}({', '.join([kind] * arguments)}{last})")

    def _const(self, uop: Uop) -> None:
        self.define_value(uop, str(uop.data) if uop.bits > 1 else ("true" if uop.data else "false"))

    def _hole(self, uop: Uop) -> None:
        if uop.bits in NARROW_RANGES:
            self.define_value(uop, self.narrow_hole(uop.data, uop.bits))
        else:
            text = self.hole(uop.data)
            self.define_value(uop, text if uop.bits == 64 else self.emit(f"trunc i64 {text} to i{uop.bits}"))

    # --- CPU record
    def _get(self, uop: Uop) -> None:
        self.define_loaded(uop, self.emit(f"load {memory_type(uop.bits)}, ptr {self._slot(uop.data)}, align 1"))

    def _put(self, uop: Uop) -> None:
        value = uop.args[0]
        self.lines.append(f"store {self.stored(value)}, ptr {self._slot(uop.data)}, align 1")

    def _slot(self, slot: Slot) -> str:
        return self.record(slot.offset, slot.displacement)

    def _slot_address(self, uop: Uop) -> None:
        slot: Slot = uop.data
        offset = self.hole(slot.offset) if isinstance(slot.offset, str) else str(slot.offset)
        address = self.emit(f"add i64 %cpu, {offset}")
        self.define_value(uop, self.emit(f"add i64 {address}, {slot.displacement}") if slot.displacement else address)

    def define_loaded(self, uop: Uop, name: str) -> None:
        """A value of memory_type."""
        (self.define_vector if uop.bits == 128 else self.define_value)(uop, name)

    def stored(self, value: Value) -> str:
        """A value and its memory_type, for a store."""
        return f"{memory_type(value.bits)} {self.vector(value) if value.bits == 128 else self.value(value)}"

    # --- guest memory
    def _load(self, uop: Uop) -> None:
        assert uop.out
        address, bits = self.value(uop.args[0]), uop.bits
        hit, miss, done = (self.new("m")[1:] for _ in range(3))
        host = self._translate(address, bits // 8, "read", hit, miss)
        kind = memory_type(bits)
        fast = self.emit(f"load {kind}, ptr {host}, align 1")
        self.lines.append(f"br label %{done}")
        self.label(miss)
        slow = self._slow_load(address, bits, "load_for_write" if uop.data == FOR_WRITE else "load_slow")
        after = self.new("s")[1:]
        self.lines.append(f"br label %{after}")
        self.label(after)
        self.lines.append(f"br label %{done}")
        self.label(done)
        self.define_loaded(uop, self.emit(f"phi {kind} [ {fast}, %{hit} ], [ {slow}, %{after} ]"))

    def _slow_load(self, address: str, bits: int, helper: str) -> str:
        if bits <= 64:
            word = self.call_helper(helper, [address, str(bits // 8)], faults=True)
            return word if bits == 64 else self.emit(f"trunc i64 {word} to i{bits}")
        total = "0"
        for part in range(0, bits, 64):
            size = min(64, bits - part) // 8
            at = self.emit(f"add i64 {address}, {part // 8}") if part else address
            word = self.call_helper(helper, [at, str(size)], faults=True)
            wide = self.emit(f"zext i64 {word} to i{bits}")
            wide = self.emit(f"shl i{bits} {wide}, {part}") if part else wide
            total = self.emit(f"or i{bits} {total}, {wide}")
        return self.emit(f"bitcast i128 {total} to {VECTOR}") if bits == 128 else total

    def _store(self, uop: Uop) -> None:
        address, value, bits = self.value(uop.args[0]), self.value(uop.args[1]), uop.args[1].bits
        hit, miss, done = (self.new("m")[1:] for _ in range(3))
        host = self._translate(address, bits // 8, "write", hit, miss)
        self.lines += [f"store {self.stored(uop.args[1])}, ptr {host}, align 1", f"br label %{done}"]
        self.label(miss)
        self._slow_store(address, value, bits)
        self.lines.append(f"br label %{done}")
        self.label(done)

    def _slow_store(self, address: str, value: str, bits: int) -> None:
        words = [self._word(value, bits, part) for part in range(0, bits, 64)]
        if bits > 64:
            self.call_helper("probe_slow", [address, str(bits // 8)], faults=True)
        for i, word in enumerate(words):
            at = self.emit(f"add i64 {address}, {8 * i}") if i else address
            self.call_helper("store_slow", [at, word, str(min(64, bits - 64 * i) // 8)], faults=True)

    def _word(self, value: str, bits: int, part: int) -> str:
        """64 bits of a value from bit `part`.  Of a wide one they are pinned in a general register, which calls preserve."""
        if bits <= 64:
            return value if bits == 64 else self.emit(f"zext i{bits} {value} to i64")
        word = self.emit(f"lshr i{bits} {value}, {part}") if part else value
        return self.emit(f'call i64 asm sideeffect "", "=r,0"(i64 {self.emit(f"trunc i{bits} {word} to i64")})')

    def _probe(self, uop: Uop) -> None:
        hit, miss = (self.new("m")[1:] for _ in range(2))
        address = self.value(uop.args[0])
        self._translate(address, uop.data, "write", hit, miss)
        done = self.new("m")[1:]
        self.lines.append(f"br label %{done}")
        self.label(miss)
        self.call_helper("probe_slow", [address, str(uop.data)], faults=True)
        self.lines.append(f"br label %{done}")
        self.label(done)

    def _translate(self, address: str, size: int, tag: str, hit: str, miss: str) -> str:
        """The soft-TLB look-up; leaves the position at `hit` with a host pointer."""
        shift = PAGE_BITS - TLB_ENTRY.itemsize.bit_length() + 1
        last = self.emit(f"add i64 {address}, {size - 1}") if size > 1 else address
        page = self.emit(f"and i64 {last}, {-PAGE_SIZE}")
        index = self.emit(f"and i64 {self.emit(f'lshr i64 {address}, {shift}')}, {(TLB_ENTRIES - 1) * TLB_ENTRY.itemsize}")
        entry = self.emit(f"add i64 {self.emit(f'add i64 %cpu, {index}')}, {self.tlb()}")
        offset = TLB_ENTRY.fields[tag][1]
        found = self.emit(f"load i64, ptr {self.pointer(self.emit(f'add i64 {entry}, {offset}'))}")
        self.branch_to(self.emit(f"icmp eq i64 {found}, {page}"), hit, miss, MOSTLY)
        self.label(hit)
        addend = TLB_ENTRY.fields["addend"][1]
        delta = self.emit(f"load i64, ptr {self.pointer(self.emit(f'add i64 {entry}, {addend}'))}")
        return self.pointer(self.emit(f"add i64 {address}, {delta}"))

    def tlb(self) -> str:
        """Offset of the current MMU index's TLB in the record."""
        return self.hole("tlb")

    # --- calls, exceptions
    def call_helper(self, name: str, args: list[str], faults: bool, cold: bool = True) -> str:
        """A runtime function through its trampoline; afterwards on the path where it did not fault.  `cold`: seldom taken."""
        self.store_field("where", self.where())
        slot = self.layout.offset(f"helpers.{self.helpers[name]}")
        values = ["%cpu", *args]
        constraints = ",".join(["={rax}", *(f"{{{r}}}" for r, _ in zip(ARGUMENT_REGISTERS, values)), CLOBBERS])
        typed = ", ".join(f"i64 {v}" for v in values)
        result = self.emit(f'call i64 asm sideeffect "callq *{slot}(%rdi)", "{constraints}"({typed}) #{3 if cold else 0}')
        if faults:
            good = self.new("g")[1:]
            failed = self.emit(f"icmp ne i64 {self.load_field('fault')}, 0")
            self.branch_to(failed, self.fault_label(), good, RARELY)
            self.label(good)
        return result

    def where(self) -> str:
        return self.hole("where")

    def fault_label(self) -> str:
        """A block of this function that leaves with cpu.fault set; define() appends it."""
        self.fault_labels.append(self.new("f")[1:])
        return self.fault_labels[-1]

    def _call(self, uop: Uop) -> None:
        name, faults = uop.data
        self.define_value(uop, self.call_helper(name, [self.value(a) for a in uop.args], faults, cold=False))

    def _host(self, uop: Uop) -> None:
        asm, constraints = uop.data
        arguments = [self.stored(arg) for arg in uop.args]
        kind = memory_type(uop.bits) if uop.bits else "void"
        text = f'call {kind} asm sideeffect "{asm}", "{constraints}"({", ".join(arguments)}) #0'
        if uop.bits == 0:
            self.lines.append(text)
            return
        result = self.emit(text)
        self.define_loaded(uop, result)

    def _raise_if(self, uop: Uop) -> None:
        vector, code = uop.data
        raised, on = (self.new("r")[1:] for _ in range(2))
        self.branch_to(self.value(uop.args[0]), raised, on, RARELY)
        self.label(raised)
        self.store_field("where", self.where())
        self.store_field("fault", vector + 1)
        self.store_field("fault_code", NO_ERROR_CODE if code is None else code)
        self.tail_call("FAULT")
        self.label(on)

    # --- ends
    def _goto(self, uop: Uop) -> None:
        self.tail_call("GOTO0")

    def _branch(self, uop: Uop) -> None:
        yes, no = (self.new("b")[1:] for _ in range(2))
        self.branch_to(self.value(uop.args[0]), yes, no)
        self.label(yes)
        self.tail_call("GOTO0")
        self.label(no)
        self.tail_call("GOTO1")

    def _indirect(self, uop: Uop) -> None:
        target = self.value(uop.args[0])
        self.store_field("pc", target)
        size = JUMP_ENTRY.itemsize
        mixed = self.emit(f"xor i64 {target}, {self.emit(f'lshr i64 {target}, {PAGE_BITS}')}")
        index = self.emit(f"mul i64 {self.emit(f'and i64 {mixed}, {JUMP_ENTRIES - 1}')}, {size}")
        entry = self.emit(f"add i64 %cpu, {index}")
        pc, mode, code = (
            self.emit(f"load i64, ptr {self.pointer(self.emit(f'add i64 {entry}, {self._jump_offset(n)}'))}")
            for n in ("pc", "mode", "code"))
        hit, miss, here = (self.new("j")[1:] for _ in range(3))
        self.branch_to(self.emit(f"icmp eq i64 {pc}, {target}"), here, miss, MOSTLY)
        self.label(here)
        self.branch_to(self.emit(f"icmp eq i64 {mode}, {self.load_field('mode')}"), hit, miss, MOSTLY)
        self.label(hit)
        self.lines += [f"musttail call preserve_nonecc void {self.pointer(code)}(i64 %cpu) #0", "ret void"]
        self.label(miss)
        self.tail_call("LEAVE")

    def _jump_offset(self, name: str) -> int:
        return self.layout.offset("jump") + JUMP_ENTRY.fields[name][1]

    def _leave(self, uop: Uop) -> None:
        self.tail_call("LEAVE")
