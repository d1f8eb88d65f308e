"""QEMU's TCG as a second opinion on system instructions: the same image, case by case, there and on the engine.

Not asked: what TCG does not check, such as segment limits and CR0 combinations.  Not compared, because QEMU 7.2 differs from the
manual: RF in pushed flags (the manual sets it for faults), and DEVIATIONS.
"""
from __future__ import annotations

import shutil

import pytest

from jit.x86.state import Flag
from tests.jit.x86.system_image import Image, run_on_engine, run_on_qemu

pytestmark = pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs qemu-system-x86_64")
K, U = False, True                      # start at privilege 0 or 3

LOADS = [f"mov ecx, {selector}; mov {seg}, ecx" for seg in ("ds", "es", "ss", "gs") for selector in (
    0, 3, 0x08, 0x0B, 0x10, 0x13, 0x18, 0x1B, 0x20, 0x23, 0x48, 0x50, 0x78, 0x7B, 0x98, 0xA8, 0xB8, 0xBB, 0xC0, 0xC3, 0x0C, 0x200)]
QUERIES = [f"mov ecx, {selector}; mov eax, 0x1234; {name} eax, ecx; pushf{{q}}; pop {{a}}bx" for name in ("lar", "lsl")
           for selector in (0, 0x08, 0x10, 0x18, 0x20, 0x48, 0x50, 0x53, 0x60, 0x78, 0x80, 0x90, 0xA0, 0xA8, 0xB0, 0xB8, 0xBB, 0x200)]
VERIFIES = [f"mov ecx, {selector}; {name} cx; pushf{{q}}; pop {{a}}bx" for name in ("verr", "verw")
            for selector in (0, 0x08, 0x10, 0x18, 0x23, 0x50, 0x78, 0x7B, 0x98, 0xB8, 0xC0, 0xC3, 0x200)]
VECTORS = [f"int {vector}" for vector in (*range(0x30, 0x38), 3, 4, 13, 14, 0xEE)]
PRIVILEGED = ["cli", "sti", "hlt", "clts", "lmsw ax", "smsw eax", "lgdt [{a}sp]", "invlpg [{a}sp]", "wbinvd", "rdmsr", "wrmsr",
              "mov {a}ax, cr0", "mov cr0, {a}ax", "mov {a}ax, dr7", "in al, 0x70; and eax, 0", "in al, 0x62; and eax, 0", "out 0x61, ax", "mov dx, 0x360; in eax, dx",
              "mov dx, 0x62; outsb", "str eax", "sldt eax", "sgdt [{a}sp - 32]", "ltr ax", "lldt ax", "int1", "int3", "ud2",
              "pushf{q}; pop {a}ax; or eax, 0x3200; push {a}ax; popf{q}; pushf{q}; pop {a}bx",
              "push 0x244DD5; popf{q}; pushf{q}; pop {a}bx", "push 0x102; popf{q}; nop; nop", "mov ecx, 0; div ecx"]
SYSTEM_LOADS = [f"mov eax, {selector}; {name} ax; {store} ebx" for name, store in (("lldt", "sldt"), ("ltr", "str"))
                for selector in (0, 0x10, 0x50, 0x54, 0x60, 0x63, 0xA0, 0x90, 0x1F8)]
CONTROL = ["mov eax, 0x300000; mov cr4, {a}ax; mov {a}bx, cr4", "mov eax, 0x77; mov cr2, {a}ax; mov {a}bx, cr2",
           "mov eax, 9; lmsw ax; mov {a}bx, cr0", "mov eax, 0x28; mov cr4, {a}ax; mov {a}bx, dr4", "mov {a}bx, dr5", "mov {a}bx, dr6",
           "mov ecx, 0x277; mov eax, 2; xor edx, edx; wrmsr", "mov ecx, 0xC0000080; rdmsr", "mov ecx, 0xC0000080; mov edx, 1; wrmsr",
           "mov ecx, 0x174; mov eax, 8; xor edx, edx; wrmsr; rdmsr",
           "xgetbv", "mov ecx, 0x1B; rdmsr; and eax, 0"]
FAR_32 = [f".byte 0x9A; .long 0xF0A00; .short {selector}" for selector in (0, 0x10, 0x18, 0x0B, 0x48, 0x50, 0x1F8, 0xA8, 0xB3, 0xC0)]
RETURNS_32 = [f"push {ss}; push 0x13F00; push {cs}; push 0xF0300; retf" for cs, ss in (
    (0x1B, 0x23), (0x1B, 0), (0x1B, 0x20), (0x1B, 0x13), (0x0B, 0x23), (0, 0), (0x23, 0x23), (0x18, 0x23), (0xBB, 0x23), (0xAB, 0x23),
    (0x1B, 0x7B), (0x1B, 0x4B), (0x1F8, 0))]
IRETS_32 = [f"push {ss}; push 0x13F00; push {flags}; push {cs}; push 0xF0300; iretd" for cs, ss, flags in (
    (0x1B, 0x23, 0x202), (0x1B, 0, 2), (0x1B, 0x20, 2), (0x0B, 0x23, 2), (0, 0, 2), (0x23, 0x23, 2), (0x18, 0x23, 2), (0xBB, 0x23, 0x3202),
    (0x08, 0, 0x244DD7), (0x1B, 0x23, 0x204DD7), (0x20, 0, 2), (0x1F8, 0, 2))]
IRETS_64 = [f"push {ss}; push 0x13F00; push {flags}; push {cs}; push 0xF0300; iretq" for cs, ss, flags in (
    (0x33, 0x23, 0x202), (0x33, 0, 2), (0x33, 3, 2), (0x33, 0x20, 2), (0x0B, 0x23, 2), (0, 0, 2), (0x23, 0x23, 2), (0x30, 0x23, 2),
    (0x28, 0, 2), (0x28, 0x10, 0x244DD7), (0x28, 0x23, 2), (0x28, 3, 2), (0x33, 0x13, 2), (0x33, 0x7B, 2), (0x33, 0x4B, 2))]
PAGES_64 = [text.format(at=hex(0x200000 + i * 0x1000)) for i in range(7) for text in (
    "mov eax, [{at}]", "mov dword ptr [{at}], 1", "mov rax, {at}; jmp rax")]
PAGES_64 += ["mov eax, [0x400000]", "mov rax, 0x800000000000; mov rbx, [rax]", "mov rax, 0x7FFFFFFFFFFE; mov rbx, [rax]",
             "mov rax, 0x800000000000; jmp rax", "mov qword ptr [0x200FFC], 5", "mov rax, [0x202FFC]", "mov qword ptr [0x203FFE], 1",
             "mov rsp, 0x201800; push rax", "mov rsp, 0x201800; int 0xF0", "mov edi, 0x200FF0; mov ecx, 9; .byte 0xF3, 0xAB",
             "mov esi, 0x200FF0; mov edi, 0x200000; mov ecx, 9; .byte 0xF3, 0xA5"]
SYSCALLS = ["syscall", "mov r11d, 0x244DD7; mov ecx, 0xF0300; .byte 0x48, 0x0F, 0x07", "mov ecx, 0xF0300; mov r11d, 2; .byte 0x0F, 0x07",
            "mov rcx, 0x800000000000; .byte 0x48, 0x0F, 0x07", "sysenter", ".byte 0x48, 0x0F, 0x35", "swapgs", "push 0x92; popf",
            "mov ecx, 0xC0000102; mov edx, 0x8000; wrmsr", "mov ecx, 0xC0000101; mov eax, 0x77; xor edx, edx; wrmsr",
            "mov eax, 0x10020; mov cr4, rax; mov ebx, 0x99; .byte 0xF3, 0x48, 0x0F, 0xAE, 0xDB",
            ".byte 0xF3, 0x48, 0x0F, 0xAE, 0xDB", "mov eax, 0x31; mov cr0, rax", "xor eax, eax; mov cr4, rax"]
SPECIAL_32 = ["mov eax, 0x1B; mov ecx, 0x08; arpl cx, ax; pushf; pop ebx", "into", "mov al, 0x7F; add al, 1; into",
              ".byte 0x9A; .long 0; .short 0x80", ".byte 0x9A; .long 0; .short 0x83", ".byte 0xEA; .long 0; .short 0x83",
              ".byte 0xEA; .long 0; .short 0xA0", ".byte 0x9A; .long 0; .short 0xA0", ".byte 0x9A; .long 0; .short 0x90",
              ".byte 0x9A; .long 0; .short 0x93", "push 0x4002; popf; iretd", "sti; pushf; pop ebx; cli",
              "mov word ptr [0x11070], 0; ud2",
              "mov ecx, 0x174; xor eax, eax; xor edx, edx; wrmsr; sysenter",
              "mov ecx, 0x174; mov eax, 8; xor edx, edx; wrmsr; mov ecx, 0x175; mov eax, 0x13700; wrmsr; mov ecx, 0x176; "
              "mov eax, 0xF0300; wrmsr; sysenter",
              "mov ecx, 0x174; mov eax, 8; xor edx, edx; wrmsr; mov edx, 0xF0300; mov ecx, 0x13E00; sysexit",
              # virtual-8086 mode: GS FS DS ES SS ESP EFLAGS CS EIP, then code of NOPs up to a handler
              "push 0x44; push 0x33; push 0x22; push 0x11; push 0x900; push 0x100; push 0x20202; push 0xF000; push 0x60; iretd",
              "push 0x44; push 0x33; push 0x22; push 0x11; push 0x900; push 0x100; push 0x23202; push 0xF000; push 0x60; iretd"]


def breakpoint_at(address: int, control: int, then: str) -> str:
    """Breakpoint 0 at a linear address, R/W and LEN and enable bits in `control`, and what may meet it."""
    return f"mov eax, {address}; mov dr0, {{a}}ax; mov eax, {control}; mov dr7, {{a}}ax; mov eax, 0; mov ebp, 0x9800; {then}; nop"


WRITES_4, ACCESSES_4, WRITES_1, WRITES_2, WRITES_8 = 0xD0001, 0xF0002, 0x10001, 0x50001, 0x90002
ACCESSES = ["mov [{a}bp + 4], eax", "mov [{a}bp + 3], al", "mov [{a}bp + 7], al", "mov [{a}bp + 8], al", "mov [{a}bp + 2], eax",
            "mov [{a}bp], eax", "mov eax, [{a}bp + 4]", "mov eax, [{a}bp - 2]", "add dword ptr [{a}bp + 4], 5", "xchg [{a}bp + 6], ax",
            "mov edi, 0x9800; mov ecx, 16; .byte 0xF3, 0xAA", "mov esi, 0x9800; mov ecx, 4; .byte 0xF3, 0xAD",
            "mov esi, 0x9800; mov edi, 0x9900; mov ecx, 8; .byte 0xF3, 0xA5", "mov edi, 0x9800; mov ecx, 8; .byte 0xF3, 0xAF",
            "ud2", "lea ebx, [{a}bp + 4]", "movups [{a}bp - 8], xmm0"]
CROSSING = ["mov [{a}bp + 0x7FE], eax", "mov [{a}bp + 0x7FC], eax", "mov [{a}bp + 0x801], al", "mov eax, [{a}bp + 0x7FD]"]
PORTS = ["out 0x80, al", "out 0x81, al", "out 0x82, al", "out 0x7F, ax", "out 0x7E, al"]
HERE = "call here; here: pop {a}bx; add {a}bx, 64; mov dr0, {a}bx; mov ecx, "
SLED = "; nop" * 64
DEBUG = [breakpoint_at(0x9804, control, access) for control in (WRITES_4, ACCESSES_4, WRITES_1, 0xD0000) for access in ACCESSES]
DEBUG += [breakpoint_at(0xA000, WRITES_2, access) for access in CROSSING]
DEBUG += [breakpoint_at(0x9800, WRITES_8, access) for access in ACCESSES] + [breakpoint_at(0x9804, WRITES_4, "mov esp, 0x9808; push 5")]
DEBUG += [f"mov ecx, {de}; mov cr4, {{a}}cx; " + breakpoint_at(0x80, 0x60001, port) for de in (0x28, 0x20) for port in PORTS]
DEBUG += ["mov ecx, 0x28; mov cr4, {a}cx; " + breakpoint_at(0x360, 0x20001, "mov dx, 0x360; in eax, dx")]
DEBUG += [HERE + f"{control}; mov dr7, {{a}}cx" + SLED for control in (0, 1, 2, 4)]
DEBUG += [HERE + "1; mov dr7, {a}cx; jmp {a}bx" + SLED, HERE + "1; push 0x102; popf{q}; mov dr7, {a}cx" + SLED]
# IRET with RF to the breakpoint, and another breakpoint right behind
RESUME = HERE + "5; {behind}mov dr7, {{a}}cx; {frame}push {{a}}bx; iret{{q}}" + SLED
FRAMES = {32: "push 0x10002; push 0x08; ", 64: "mov rdx, rsp; push 0x10; push rdx; push 0x10002; push 0x28; "}
BEHIND = "mov {a}ax, {a}bx; inc {a}ax; mov dr1, {a}ax; "


def resumes(bits: int) -> list[str]:
    return [RESUME.replace("{frame}", FRAMES[bits]).replace("{behind}", behind).replace("{{", "{").replace("}}", "}")
            for behind in ("", BEHIND)]


# (bits, start of the case's text), user or kernel: where QEMU 7.2 does not do what the manual says
DEVIATIONS = (
    (32, "mov eax, 0; ltr"), (64, "mov eax, 0; ltr"),                       # a null task register is #GP(0)
    (64, "mov ecx, 3; mov ss"),                                             # null SS: RPL must be CPL
    (64, "mov ecx, 144; mov eax, 0x1234; lar"), (64, "mov ecx, 176; mov eax, 0x1234; lar"),    # no such types in long mode
    (64, "int 49"), (64, "int 50"), (64, "int 238"), (64, "int 48"),        # error code: the index is the vector, times 8
    (64, "int 13"), (64, "int 14"),
    (64, "mov eax, [0x205000]"), (64, "mov dword ptr [0x205000]"), (64, "mov rax, 0x205000"), (64, "mov eax, [0x400000]"),  # P
    (64, "sysenter"), (64, ".byte 0x48, 0x0F, 0x35"),                       # as on AMD's: #UD in long mode
    (64, "mov rcx, 0x800000000000; .byte 0x48, 0x0F, 0x07"),                # as on AMD's: #GP at privilege 3
    (32, "int1"), (64, "int1"),                                             # #UD
    (32, "mov ecx, 0x277"), (64, "mov ecx, 0x277"), (64, "mov ecx, 0xC0000102; mov edx, 0x8000"),      # any value goes
    (32, "mov ecx, 0xC0000080; mov edx, 1"), (64, "mov ecx, 0xC0000080; mov edx, 1"),
    (32, "mov ecx, 32; mov cr4"), (64, "mov ecx, 32; mov cr4"),             # ports have breakpoints without CR4.DE
)
# These leave no machine to go on with at privilege 0
USER_ONLY = ("hlt", "lgdt [", "mov rsp, 0x201800", "mov eax, 0x31; mov cr0", "xor eax, eax; mov cr4", "mov cr0, rax",
             "mov eax, 0x300000; mov cr4, rax")
KERNEL_ONLY = ("push 0x44",)            # QEMU lets programs enter virtual-8086 mode


def both(texts: list[str], bits: int) -> list[tuple[str, bool]]:
    names = {"a": "r" if bits == 64 else "e", "q": "q" if bits == 64 else "d"}
    filled = [text.format(**names) for text in texts]
    return [(text, user) for user in (K, U)
            for text in filled if not text.startswith(KERNEL_ONLY if user else USER_ONLY)]


def groups() -> dict[str, tuple[int, list[tuple[str, bool]], int]]:
    found: dict[str, tuple[int, list[tuple[str, bool]], int]] = {}
    for bits in (32, 64):
        for name, texts in (("loads", LOADS), ("queries", QUERIES + VERIFIES), ("vectors", VECTORS + PRIVILEGED),
                            ("tables", SYSTEM_LOADS)):
            found[f"{name}-{bits}"] = (bits, both(texts, bits), 0)
        found[f"control-{bits}"] = (bits, both(CONTROL, bits), 0)
    for bits in (32, 64):
        cases = [case for case in both(DEBUG + resumes(bits), bits) if not case[1]]
        for part in range(3):
            found[f"debug-{bits}-{part}"] = (bits, cases[part::3], 0)
    found["far-32"] = (32, both(FAR_32 + RETURNS_32 + IRETS_32, 32), 0)
    found["special-32"] = (32, both(SPECIAL_32, 32), 0)
    found["iret-64"] = (64, both(IRETS_64, 64), 0)
    found["pages-64"] = (64, both(PAGES_64, 64), 0)
    found["syscall-64"] = (64, both(SYSCALLS, 64), 0)
    return found


GROUPS = groups()


def comparable(report: dict[str, int]) -> dict[str, str]:
    return {name: hex(value & ~Flag.RF if name == "flags" else value) for name, value in report.items()}


@pytest.mark.parametrize("group", list(GROUPS))
def test_engine_and_qemu_report_the_same(group, tmp_path):
    bits, cases, cr4 = GROUPS[group]
    image = Image(bits, cases, cr4)
    theirs, ours = image.reports(run_on_qemu(image, tmp_path)), image.reports(run_on_engine(image))
    wrong = []
    for case, expected, actual in zip(cases, theirs, ours):
        difference = {k: (v, comparable(actual)[k]) for k, v in comparable(expected).items() if v != comparable(actual)[k]}
        if difference and not any(bits == b and case[0].startswith(text) for b, text in DEVIATIONS):
            wrong.append(f"{'user' if case[1] else 'kernel'}: {case[0]}: (QEMU, engine) {difference}")
    assert not wrong, "\n".join(wrong)
    assert (len(theirs), len(ours)) == (len(cases), len(cases))
