"""A 64 KiB firmware image that runs small pieces of system code one by one and reports how each ended.

The image starts at the reset vector, enters protected mode (or 64-bit mode), and before every case makes all tables, the
stack and the registers anew.  A case ends in an exception or in INT F0h; the handler writes its stack (saved registers, CR0,
CR2, DR6, vector, error code, frame) to port E9h.  The same image runs on QEMU and on the engine; the reports must agree.

RAM: case number at 9000h; tables as below, copied from the image; two 4 KiB stacks.  In 64-bit mode 0-2 MiB is mapped 1:1 for
everybody, and pages of PAGES from 2 MiB.
"""
from __future__ import annotations

import struct
import subprocess
from functools import cache
from pathlib import Path

import keystone

from tests.jit.x86.system_machine import DB, LONG, G, descriptor, gate

IMAGE_BASE, IMAGE_SIZE, BLOB, RESET = 0xF0000, 0x10000, 0x8000, 0xFFF0
TABLES = 0x10000
GDT, IDT, TSS, TSS2, LDT, KERNEL_STACK, USER_STACK = 0x10000, 0x11000, 0x12000, 0x12400, 0x12600, 0x13800, 0x13F00
PML4, PDPT, PD, PT = 0x14000, 0x15000, 0x16000, 0x17000
CASE_NUMBER, PAGES, DEBUG_PORT, EXIT_PORT = 0x9000, 0x200000, 0xE9, 0x501
DONE = 0xF0                             # vector that ends a case which did not fault
WITH_ERROR_CODE = (8, 10, 11, 12, 13, 14, 17)
P, W, U, PS, NX = 1, 2, 4, 0x80, 1 << 63
PAGE_RIGHTS = [P | W | U, 0, P | U, P | W, P | W | U | NX, P | W | U | 1 << 51, P]      # from PAGES on

GDT_ENTRIES = {
    0x08: descriptor(0, 0xFFFFF, 0x9B, G | DB), 0x10: descriptor(0, 0xFFFFF, 0x93, G | DB),
    0x18: descriptor(0, 0xFFFFF, 0xFB, G | DB), 0x20: descriptor(0, 0xFFFFF, 0xF3, G | DB),
    0x28: descriptor(0, 0xFFFFF, 0x9B, G | LONG), 0x30: descriptor(0, 0xFFFFF, 0xFB, G | LONG),
    0x48: descriptor(0, 0xFFFFF, 0x13, G | DB), 0x50: descriptor(TSS, 0x3FF, 0x89, 0), 0x60: descriptor(LDT, 0x1F, 0x82, 0),
    0x78: descriptor(0, 0xFFFF, 0x91, 0), 0x80: gate(0x08, IMAGE_BASE + 0x100, 12, 3, 1), 0x90: gate(0xA0, 0, 5, 3),
    0x98: descriptor(0, 0xFFFF, 0x92, 0), 0xA0: descriptor(TSS2, 0x67, 0x89, 0), 0xA8: descriptor(0, 0xFFFFF, 0x1B, G | DB),
    0xB0: gate(0x08, IMAGE_BASE + 0x100, 4, 0), 0xB8: descriptor(0, 0xFFFF, 0x8C, 0), 0xC0: descriptor(0, 0xFFFFF, 0xF9, G | DB),
}
GDT_LIMIT = 0xFF
GDTR, IDTR = IMAGE_BASE + 0x20, IMAGE_BASE + 0x30
START_32, V86_CODE, HANDLERS, NEXT, COMMON, CASES = 0x80, 0x60, 0x100, 0x600, 0x800, 0xA00
TABLE = 0x7800                          # addresses of the cases, 0 ends
ENDED = IMAGE_BASE + HANDLERS + 32 * 16  # the handler of DONE
# vectors whose gates are wrong in some way
BAD_GATES = {
    0x30: lambda code: gate(code, ENDED, 0xE, 0), 0x31: lambda code: gate(code, ENDED, 0xE, 3, present=0),
    0x32: lambda code: gate(code, ENDED, 0x2, 3), 0x33: lambda code: gate(0, ENDED, 0xE, 3),
    0x34: lambda code: gate(0x10, ENDED, 0xE, 3), 0x35: lambda code: gate(0x1F8, ENDED, 0xE, 3),
    0x36: lambda code: gate(0xA8, ENDED, 0xE, 3), 0x37: lambda code: gate(0x18, ENDED, 0xE, 3),
}


def assemble(text: str, at: int, bits: int) -> bytes:
    mode = {16: keystone.KS_MODE_16, 32: keystone.KS_MODE_32, 64: keystone.KS_MODE_64}[bits]
    return bytes(keystone.Ks(keystone.KS_ARCH_X86, mode).asm(text, at)[0])


class Image:
    """cases: (text, user) pairs; `user` cases start at privilege 3."""

    def __init__(self, bits: int, cases: list[tuple[str, bool]], cr4: int = 0):
        self.bits, self.cases, self.cr4 = bits, cases, cr4
        self.bytes = bytearray(IMAGE_SIZE)
        self._tables()
        self._start()
        self._handlers()
        self._next()
        self._cases()

    def put(self, at: int, data: bytes) -> int:
        assert not any(self.bytes[at:at + len(data)]), f"the image has two things at {at:#x}"
        self.bytes[at:at + len(data)] = data
        return at + len(data)

    def table(self, address: int, value: int, size: int = 8) -> None:
        at = address - TABLES + BLOB
        self.bytes[at:at + size] = value.to_bytes(size, "little")

    def code(self, at: int, text: str, bits: int | None = None) -> int:
        return self.put(at, assemble(text, IMAGE_BASE + at, bits or self.bits))

    # --- data
    def _tables(self) -> None:
        code = 0x28 if self.bits == 64 else 0x08
        for selector, value in GDT_ENTRIES.items():
            self.table(GDT + selector, value)
        self.table(LDT + 8, descriptor(0, 0xFFFFF, 0xF3, G | DB))
        size = 16 if self.bits == 64 else 8
        for vector in [*range(20), DONE]:
            offset = IMAGE_BASE + HANDLERS + vector * 16 if vector != DONE else ENDED
            self.table(IDT + vector * size, gate(code, offset, 0xE, 3 if vector in (3, 4, DONE) else 0))
        for vector, make in BAD_GATES.items():
            self.table(IDT + vector * size, make(code))
        self._task_states()
        self.table(PML4, PDPT | P | W | U)
        self.table(PDPT, PD | P | W | U)
        self.table(PD, P | W | U | PS)
        self.table(PD + 8, PT | P | W | U)
        self.table(PD + 16, 0x400000 | P | W | U | PS | 1 << 13)
        for i, rights in enumerate(PAGE_RIGHTS):
            self.table(PT + 8 * i, PAGES + 0x100000 + i * 0x1000 | rights)
        self.put(0x20, struct.pack("<HQ", GDT_LIMIT, GDT))
        self.put(0x30, struct.pack("<HQ", 0xFFF, IDT))
        self.put(V86_CODE, assemble(f"pushf; pop ax; mov bx, cs; int {DONE}", V86_CODE, 16))
        self.put(0x40, struct.pack("<HQ", GDT_LIMIT, IMAGE_BASE + BLOB))
        if self.bits == 64:
            self.table(GDT + 0xA8, descriptor(0, 0xFFFFF, 0x1B, G | LONG))

    def _task_states(self) -> None:
        if self.bits == 64:
            self.table(TSS + 4, KERNEL_STACK)
            self.table(TSS + 0x24, KERNEL_STACK - 0x100)
        else:
            self.table(TSS + 4, KERNEL_STACK, 4)
            self.table(TSS + 8, 0x10, 4)
            fields = {0x20: ENDED, 0x24: 2, 0x28: 0xAAAA0001, 0x38: KERNEL_STACK - 0x200, 0x48: 0x10,
                      0x4C: 0x08, 0x50: 0x10, 0x54: 0x10, 0x58: 0, 0x5C: 0x23}
            for at, value in fields.items():
                self.table(TSS2 + at, value, 4)
        self.table(TSS + 0x66, 0x100, 2)
        self.table(TSS + 0x100 + (0x62 >> 3), 1 << (0x62 & 7), 1)       # port 62h is closed

    # --- code
    def _start(self) -> None:
        self.put(RESET, bytes([0xEA, 0, 0, 0, 0xF0]))
        at = self.code(0, "cli; nop", 16)
        at = self.put(at, bytes([0x2E, 0x66, 0x0F, 0x01, 0x16, 0x40, 0x00]))                 # lgdt cs:[40h], 32 bits
        at = self.code(at, "mov eax, cr0; or al, 1; mov cr0, eax", 16)
        self.put(at, bytes([0x66, 0xEA]) + struct.pack("<IH", IMAGE_BASE + START_32, 0x08))
        text = "mov ax, 0x10; mov ds, ax; mov es, ax; mov ss, ax; mov dword ptr [0x9000], 0;"
        if self.bits == 64:
            text += f"""mov esi, {IMAGE_BASE + BLOB}; mov edi, {TABLES}; mov ecx, 0x1FFC; cld; .byte 0xF3, 0xA5;
                mov eax, 0x20; mov cr4, eax; mov eax, {PML4}; mov cr3, eax;
                mov ecx, 0xC0000080; mov eax, 0x901; xor edx, edx; wrmsr;
                mov eax, 0x80010031; mov cr0, eax;"""
        end = self.code(START_32, text, 32)
        self.put(end, bytes([0xEA]) + struct.pack("<IH", IMAGE_BASE + NEXT, 0x28 if self.bits == 64 else 0x08))

    def _handlers(self) -> None:
        for slot, vector in [*enumerate(range(20)), (32, DONE)]:
            code = "" if vector in WITH_ERROR_CODE else "push 0x7777;"
            self.code(HANDLERS + slot * 16, f"{code} push {vector}; jmp {IMAGE_BASE + COMMON}")
        if self.bits == 64:
            order = "rax rcx rdx rbx rbp rsi rdi r8 r9 r10 r11".split()
            text = "".join(f"push {r};" for r in order) + """mov eax, ds; push rax; mov eax, es; push rax; mov eax, fs; push rax;
                mov eax, gs; push rax; mov rax, cr2; push rax; mov rax, dr6; push rax; mov rax, cr0; push rax; mov eax, ss; push rax;
                mov ecx, 0xC0000101; rdmsr; push rax; push rsp; mov rsi, rsp; mov ecx, 216; xor eax, eax;
                mov cr2, rax; mov dr7, rax;"""
        else:
            text = f"""pushad; .byte 0x1E, 0x06, 0x0F, 0xA0, 0x0F, 0xA8; mov ax, 0x10; mov ds, ax; mov es, ax; mov eax, cr2; push eax;
                mov eax, dr6; push eax; mov eax, cr0; push eax; .byte 0x16; push dword ptr [{TSS2}]; mov esi, esp; mov ecx, 112;
                xor eax, eax; mov cr2, eax; mov dr7, eax;"""
        self.code(COMMON, text + f"mov edx, {DEBUG_PORT}; cld; rep outsb; jmp {IMAGE_BASE + NEXT}")

    def _next(self) -> None:
        long = self.bits == 64
        a = "r" if long else "e"
        text = f"""mov eax, 0x10; mov ds, eax; mov es, eax; mov ss, eax; mov {a}sp, {KERNEL_STACK};
            mov eax, 0xFFFF0FF0; mov dr6, {a}ax; mov esi, {IMAGE_BASE + BLOB}; mov edi, {TABLES}; mov ecx, 0x1FFC; cld; .byte 0xF3, 0xA5;
            lgdt [{GDTR}]; lidt [{IDTR}]; xor eax, eax; lldt ax; mov ax, 0x50; ltr ax; mov eax, 0x10; mov fs, eax; mov gs, eax;
            mov eax, {0x80010031 if long else 0x31}; mov cr0, {a}ax; mov eax, {self.cr4 | (0x20 if long else 0)}; mov cr4, {a}ax;"""
        if long:
            text += f"""mov eax, {PML4}; mov cr3, rax; mov ecx, 0xC0000080; mov eax, 0xD01; xor edx, edx; wrmsr;
                mov ecx, 0xC0000101; xor eax, eax; wrmsr; mov ecx, 0xC0000102; mov eax, 0x1234; wrmsr;
                mov ecx, 0xC0000081; mov edx, 0x180028; xor eax, eax; wrmsr;
                mov ecx, 0xC0000082; mov eax, {ENDED}; xor edx, edx; wrmsr;
                mov ecx, 0xC0000084; mov eax, 0x700; wrmsr; xor r8, r8; xor r9, r9; xor r10, r10; xor r11, r11;"""
        text += f"""mov ebx, [{CASE_NUMBER}]; inc dword ptr [{CASE_NUMBER}]; mov ebp, [{IMAGE_BASE + TABLE} + {a}bx*4];
            test ebp, ebp; jnz run; mov dx, {EXIT_PORT}; mov al, 0; out dx, al; cli; hlt; run: push 2; popf{'q' if long else 'd'};
            mov eax, 0x11; mov ecx, 0x22; mov edx, 0x33; mov ebx, 0x44; mov esi, 0x55; mov edi, 0x66; jmp {a}bp"""
        assert self.code(NEXT, text) <= COMMON

    def _cases(self) -> None:
        at = CASES
        for number, (text, user) in enumerate(self.cases):
            self.put(TABLE + number * 4, struct.pack("<I", IMAGE_BASE + at))
            if user:
                at = self._enter_user(at)
            at = self.code(at, f"{text}; int {DONE}")
        assert at < TABLE

    def _enter_user(self, at: int) -> int:
        """IRET to the code that follows, at privilege 3 with IOPL 0."""
        def push(value: int) -> bytes:
            return bytes([0x68]) + struct.pack("<I", value)

        ending = bytes([0x48, 0xCF]) if self.bits == 64 else bytes([0xCF])
        at = self.code(at, "mov eax, 0x23; mov ds, eax; mov es, eax; mov eax, 0x11")
        size = 5 * 5 + len(ending)
        cs = 0x33 if self.bits == 64 else 0x1B
        body = push(0x23) + push(USER_STACK) + push(0x202) + push(cs) + push(IMAGE_BASE + at + size) + ending
        return self.put(at, body)

    # --- runs
    def reports(self, log: bytes) -> list[dict[str, int]]:
        """One report a case, by name."""
        if self.bits == 64:
            names = ("rsp gs_base ss cr0 dr6 cr2 gs fs es ds r11 r10 r9 r8 rdi rsi rbp rbx rdx rcx rax vector error rip cs "
                     "flags old_rsp").split()
            size, letter = 8, "Q"
        else:
            names = ("link ss cr0 dr6 cr2 gs fs es ds edi esi ebp esp ebx edx ecx eax vector error eip cs flags "
                     "w0 w1 w2 w3 w4 w5").split()
            size, letter = 4, "I"
        step = size * len(names)
        assert len(log) % step == 0, f"{len(log)} bytes of reports are no multiple of {step}"
        return [dict(zip(names, struct.unpack_from(f"<{len(names)}{letter}", log, i))) for i in range(0, len(log), step)]


def run_on_qemu(image: Image, folder: Path) -> bytes:
    binary, log = folder / "image.bin", folder / "debug.log"
    binary.write_bytes(image.bytes)
    subprocess.run([
        "qemu-system-x86_64", "-M", "pc,accel=tcg", "-cpu", "qemu64,+smep,+smap,+fsgsbase,+pdpe1gb,+rdtscp", "-m", "16",
        "-bios", str(binary), "-nodefaults", "-display", "none", "-debugcon", f"file:{log}", "-no-reboot",
        "-device", f"isa-debug-exit,iobase={EXIT_PORT}",
    ], timeout=15, check=False, stderr=subprocess.PIPE)
    return log.read_bytes()


@cache
def engine():
    """One engine for all images, with a list that collects what is written to the debug port."""
    from jit.engine import Engine
    from jit.state import Call
    from jit.x86.front import X86Front

    written: list[int] = []

    def callback(vcpu: object, call: int, a: int, b: int, c: int) -> int:
        if call == Call.PORT_WRITE and a == DEBUG_PORT:
            written.append(c & 0xFF)
        return (1 << 64) - 1 if call == Call.PORT_READ else 0

    machine = Engine(X86Front(), 16 << 20, callback)
    machine.map_ram(0, 0, 16 << 20)
    return machine, machine.add_cpu(), written


def run_on_engine(image: Image) -> bytes:
    from jit.state import Exit

    machine, vcpu, written = engine()
    written.clear()
    machine.ram_written(0, 16 << 20)
    machine.ram[:] = 0
    machine.ram[IMAGE_BASE:IMAGE_BASE + IMAGE_SIZE] = image.bytes
    vcpu.reset_record()
    state = vcpu.state
    for seg in range(6):
        row = state["seg"][seg]
        row["limit"], row["attributes"] = 0xFFFF, 0x9300
    state["seg"][1]["selector"], state["seg"][1]["base"], state["seg"][1]["attributes"] = 0xF000, IMAGE_BASE, 0x9B00
    state["cr0"], state["physical_bits"], state["a20_mask"], state["mxcsr"] = 0x10, 40, (1 << 64) - 1, 0x1F80
    state["feature_ext_edx"], state["feature_7_ebx"] = 1 << 11 | 1 << 20 | 1 << 26 | 1 << 27 | 1 << 29, 1 << 20 | 1 << 7 | 1
    state["idtr_limit"], state["result"], state["dr"][7] = 0x3FF, 1, 0x400
    vcpu.call("update_mode")
    now = 0
    for _ in range(200):
        reason = vcpu.run(100_000, now)
        now = vcpu.now
        if reason in (Exit.HALT, Exit.SHUTDOWN):
            break
    return bytes(written)
