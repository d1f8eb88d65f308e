"""Lazy flags within a region: how they came about is known at every point, so that they are computed where somebody looks.

Nearly all flags are overwritten unseen, but every place that may leave the region needs them.  So a flag write emits nothing.
It only changes what is known: the micro-ops that would compute the lazy slots (isa.LAZY) and the values these need.  Ways out are
cold; the micro-ops are emitted there, each time anew.

Where several ways meet, what was known on each becomes a `kind`: a number in `%kind`, and the values that its micro-ops need in
variables of its own.  A way out behind such a place switches on the number; kind 0 means that the record is right as
it is.  A block that reads flags from before a meeting makes that meeting `raw` (the slots are computed on every way to it) or
`carried` (only what isa.CARRY stands for is); that is found out on the way, and lowering begins again (Retry).
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jit.ir import OPS, Slot, Uop, Value
from jit.lower import Function

PURE = {*OPS, "const"}
FLAGS = "<flags of "                    # a line that close() replaces, before the number of the meeting


class Retry(Exception):
    """Lowering must begin again: `block` joins the set `name` ("raw" or "carried") of its plan."""

    def __init__(self, name: str, block: int):
        super().__init__(name, block)
        self.name, self.block = name, block


@dataclass
class Plan:
    """What earlier attempts found out: meetings (block numbers) where flags are passed on as values."""

    raw: set[int] = field(default_factory=set)
    carried: set[int] = field(default_factory=set)


@dataclass(eq=False)
class Known:
    """The flags are these values; `carry` is one whose carry is theirs, for instructions that keep it."""

    values: dict[int, Value]            # by record offset
    carry: Value
    kind: int = 0


@dataclass(eq=False)
class Meeting:
    """The flags are those of one of the ways to block `block`."""

    block: int
    carry: Value | None = None


@dataclass
class Kind:
    """Flags known on some way to a meeting, and the values that their micro-ops start from."""

    known: Known
    leaves: list[Value]


class LazyFlags(Function):
    """The part of lowering a region that knows of flags.  `plan` is shared by all attempts."""

    def setup(self, isa: Any, plan: Plan, constants: dict[int, int]) -> None:
        self.isa, self.plan, self.constants = isa, plan, constants
        self.state: Known | Meeting = Meeting(0)
        self.deferred: dict[int, Uop] = {}                  # pure micro-ops by the number of their value
        self.alias: dict[int, int] = {}                     # reads of lazy slots -> the value that is there
        self.open: dict[int, tuple[str, int]] = {}          # reads behind a meeting -> what the plan lacks
        self.kinds: list[Kind] = []
        self.ways: list[tuple[int | Meeting, int]] = []     # kind or meeting, target
        self.aside: list[str] = []
        self._own = -1                                      # numbers of values that no micro-op made
        self._pending: dict[int, Value] = {}

    # --- values on demand
    def value(self, value: Value) -> str:
        return self.names[self._emitted(value)]

    def vector(self, value: Value) -> str:
        return self.vectors[self._emitted(value)]

    def _emitted(self, value: Value) -> int:
        number = self._resolved(value.number)
        if number not in self.names:
            super().lower(self.deferred[number])
        return number

    def _resolved(self, number: int) -> int:
        while number in self.alias:
            number = self.alias[number]
        if number in self.open:
            raise Retry(*self.open[number])
        return number

    def own_value(self, name: str, bits: int = 64) -> Value:
        """A value for something that is in the text already."""
        value = Value(None, self._own, bits)  # type: ignore[arg-type]
        self.names[self._own] = name
        self._own -= 1
        return value

    # --- one instruction
    def lower_instruction(self, uops: list[Uop]) -> None:
        """Emit what has an effect; keep the rest for whoever needs it."""
        needed = self._needed(uops)
        carry: Value | None = None
        for uop in uops:
            if uop.op in PURE and uop.bits <= 64 and uop.out and uop.out.number not in needed or uop.op == "const":
                assert uop.out
                self.deferred[uop.out.number] = uop
            elif uop.op == "get" and self._is_lazy(uop.data):
                assert uop.out
                self._read(uop.out.number, uop.data.offset)
                carry = uop.out if uop.data.offset == self.isa.CARRY else carry
            elif uop.op in ("put", "put_flags") and self._is_lazy(uop.data):
                self._pending[uop.data.offset] = uop.args[0]
            else:
                self._enter(carry, uop)
                self.lower(uop)
        self._enter(carry)

    def _needed(self, uops: list[Uop]) -> set[int]:
        """Values that effects need, directly or not."""
        needed: set[int] = set()
        for uop in reversed(uops):
            lazy = uop.op in ("put", "put_flags") and self._is_lazy(uop.data)
            if not lazy and (uop.op not in PURE or uop.out and uop.out.number in needed):
                needed.update(a.number for a in uop.args)
        return needed

    def _is_lazy(self, slot: Slot) -> bool:
        return slot.offset in self.isa.LAZY or slot.offset == self.isa.CARRY

    def _read(self, number: int, offset: int) -> None:
        state = self.state
        if isinstance(state, Known):
            self.alias[number] = (state.carry if offset == self.isa.CARRY else state.values[offset]).number
        elif offset == self.isa.CARRY and state.carry:
            self.alias[number] = state.carry.number
        else:
            self.open[number] = ("carried" if offset == self.isa.CARRY else "raw", state.block)

    def _enter(self, carry: Value | None, before: Uop | None = None) -> None:
        """Flag writes of an instruction take effect: at its end, or before the jump that ends it."""
        if not self._pending or before and before.op not in ("goto", "branch", "indirect", "leave"):
            return
        values = {offset: self._pending.get(offset) or self._old(offset) for offset in self.isa.LAZY}
        self._pending = {}
        self.state = Known(values, carry or values[self.isa.LAZY[-1]])

    def _old(self, offset: int) -> Value:
        value = Value(None, self._own, 64)  # type: ignore[arg-type]
        self._own -= 1
        self._read(value.number, offset)
        return value

    # --- between blocks
    def meet(self, block: int) -> None:
        """The head of a block that several ways lead to."""
        self.names, self.vectors = {}, {}
        if block in self.plan.raw:
            loaded = [self.own_value(self.emit(f"load i64, ptr %raw{block}_{i}")) for i in range(len(self.isa.LAZY))]
            self.state = Known(dict(zip(self.isa.LAZY, loaded)), loaded[-1])
        else:
            carried = block in self.plan.carried
            self.state = Meeting(block, self.own_value(self.emit("load i64, ptr %carry")) if carried else None)

    def way_to(self, block: int) -> None:
        """On the way to a block where several meet: pass on what is known."""
        state = self.state
        if block in self.plan.raw:
            values = [state.values[offset] if isinstance(state, Known) else self._old(offset) for offset in self.isa.LAZY]
            self.lines += [f"store i64 {self.value(v)}, ptr %raw{block}_{i}" for i, v in enumerate(values)]
            return
        if isinstance(state, Meeting):
            if block in self.plan.carried and state.carry is None:
                raise Retry("carried", state.block)
            self.ways.append((state, block))
            return
        self._pass_on(state, block)

    def _pass_on(self, state: Known, block: int) -> None:
        if not state.kind:
            self.kinds.append(Kind(state, self._leaves(state)))
            state.kind = len(self.kinds)
        self.ways.append((state.kind, block))
        self.lines.append(f"store i32 {state.kind}, ptr %kind")
        for i, leaf in enumerate(self.kinds[state.kind - 1].leaves):
            self.lines.append(f"store i{leaf.bits} {self.value(leaf)}, ptr %kind{state.kind}_{i}")
        if block in self.plan.carried:
            self.lines.append(f"store i64 {self.value(state.carry)}, ptr %carry")

    def _leaves(self, state: Known) -> list[Value]:
        """The values that are emitted anyway, from which the flags follow."""
        found: dict[int, Value] = {}
        todo, seen = list(state.values.values()), set()
        while todo:
            value = todo.pop()
            number = self._resolved(value.number)
            if number in seen:
                continue
            seen.add(number)
            if number in self.deferred:
                todo += self.deferred[number].args
            else:
                found[number] = Value(None, number, value.bits)  # type: ignore[arg-type]
        return [found[number] for number in sorted(found)]

    # --- ways out
    @contextmanager
    def branch_off(self, label: str) -> Iterator[None]:
        """A way that branches off: lines go behind the rest of the function, values that are emitted there stay there."""
        kept = self.lines, self.names, self.vectors
        self.lines, self.names, self.vectors = [f"{label}:"], dict(self.names), dict(self.vectors)
        yield
        self.aside += self.lines
        self.lines, self.names, self.vectors = kept

    def write_flags(self) -> None:
        """Bring the lazy slots of the record up to date."""
        if isinstance(self.state, Meeting):
            self.lines.append(f"{FLAGS}{self.state.block}")
        else:
            self._store_flags(self.state)

    def _store_flags(self, known: Known) -> None:
        """LLVM must not see from what, or it makes loops keep what only ways out need."""
        for leaf in self._leaves(known):
            name = self.names[leaf.number]
            if name.startswith("%"):
                self.names[leaf.number] = self.emit(f'call i{leaf.bits} asm "", "=r,0"(i{leaf.bits} {name})')
        for offset, value in known.values.items():
            self.lines.append(f"store i64 {self.value(value)}, ptr {self.record(offset)}")

    def flags_changed(self) -> None:
        """A runtime function may have written the lazy slots."""
        values = {at: self.own_value(self.emit(f"load i64, ptr {self.record(at)}")) for at in self.isa.LAZY}
        self.state = Known(values, values[self.isa.LAZY[-1]])

    # --- at the end
    def flag_variables(self) -> list[str]:
        """Their declarations, and their values at the region's entry."""
        lines = ["%kind = alloca i32", "store i32 0, ptr %kind", "%carry = alloca i64"]
        lines += [f"%raw{block}_{i} = alloca i64" for block in sorted(self.plan.raw) for i in range(len(self.isa.LAZY))]
        lines += [f"%kind{k}_{i} = alloca i{leaf.bits}"
                  for k, kind in enumerate(self.kinds, 1) for i, leaf in enumerate(kind.leaves)]
        return lines

    def enter_flags(self) -> None:
        loaded = [self.emit(f"load i64, ptr {self.record(offset)}") for offset in self.isa.LAZY]
        self.lines.append(f"store i64 {loaded[-1]}, ptr %carry")
        if 0 in self.plan.raw:
            self.lines += [f"store i64 {name}, ptr %raw0_{i}" for i, name in enumerate(loaded)]

    def kinds_at(self) -> dict[int, set[int]]:
        """Which kinds may arrive at each meeting."""
        found: dict[int, set[int]] = {block: set() for _, block in self.ways} | {0: {0}}
        for kind, block in self.ways:
            if isinstance(kind, int):
                found[block].add(kind)
        changed = True
        while changed:
            changed = False
            for source, block in self.ways:
                if isinstance(source, Meeting) and not found[source.block] <= found[block]:
                    found[block] |= found[source.block]
                    changed = True
        return found

    def write_flags_of(self, kinds: set[int]) -> None:
        """The text behind a FLAGS line."""
        wanted = sorted(kinds - {0})
        if not wanted:
            return
        labels = {kind: self.new("k")[1:] for kind in wanted}
        done = self.new("k")[1:]
        cases = " ".join(f"i32 {kind}, label %{label}" for kind, label in labels.items())
        kind_now = self.emit("load i32, ptr %kind")
        self.lines.append(f"switch i32 {kind_now}, label %{done} [ {cases} ]")
        for number, label in labels.items():
            self.label(label)
            kind = self.kinds[number - 1]
            self.vectors = {}
            self.names = {leaf.number: self.emit(f"load i{leaf.bits}, ptr %kind{number}_{i}")
                          for i, leaf in enumerate(kind.leaves)}
            self._store_flags(kind.known)
            self.lines.append(f"br label %{done}")
        self.label(done)
