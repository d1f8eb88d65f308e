"""An AML writer whose source is indented like ASL.

    Scope("\\\\_SB",
        Device("CPUS",
            Name("_HID", "ACPI0010"),
            Method("CSTA", 1, Serialized,
                Store(Arg0, Ref("CSEL")),
                Return(Ref("CPEN")))))

A node's `encode()` is its AML.  A `str` is a string literal where a term may stand and a name where only a name may.
What reads, prints and runs AML is in parser.py, asl.py and evaluator.py.
"""

# ruff: noqa: F401, I001
# fmt: off
from __future__ import annotations

from .encoding import Body, Node, Raw, Ref, Term
from .objects import (
    AnyAcc, BankField, Buffer, BufferAcc, ByteAcc, Device, DWordAcc, EisaId, External, Field, IndexField, Lock,
    Method, Mutex, Name, NoLock, NotSerialized, Offset, OperationRegion, Package, PCI_Config, Preserve, Processor,
    QWordAcc, refs, Reserved, Scope, Serialized, SystemIO, SystemMemory, Table, ToUuid, VarBuffer, VarPackage,
    WordAcc, WriteAsOnes, WriteAsZeros,
)
from .resources import (
    Cache, DMA, DWordMemory, Interrupt, InterruptFlag, IO, IRQ, IrqFlag, IRQNoFlags, Memory32Fixed, QWordMemory,
    ResourceTemplate, WordBusNumber, WordIO,
)
from .terms import (
    Acquire, Add, Alias, And, Arg0, Arg1, Arg2, Arg3, Arg4, Arg5, Arg6, Break, Call, Concatenate,
    ConcatenateResTemplate, CondRefOf, Continue, CopyObject, CreateBitField, CreateByteField, CreateDWordField,
    CreateField, CreateQWordField, CreateWordField, Debug, Decrement, DerefOf, Divide, Else, Event, Fatal,
    FindSetLeftBit, FindSetRightBit, FromBCD, If, Increment, Index, LAnd, LEqual, LGreater, LGreaterEqual, LLess,
    LLessEqual, LNot, LNotEqual, Local0, Local1, Local2, Local3, Local4, Local5, Local6, Local7, LOr, Match, Mid, Mod,
    Multiply, Nand, Noop, Nor, Not, Notify, ObjectType, One, Ones, Or, RefOf, Release, Reset, Return, ShiftLeft,
    ShiftRight, Signal, SizeOf, Sleep, Stall, Store, Subtract, Timer, ToBCD, ToBuffer, ToDecimalString, ToHexString,
    ToInteger, ToString, Wait, While, Xor, Zero,
)
