"""What every benchmark guest shares: entry, 64-bit mode, console, the timed loop, the end.

A guest is assembly with two routines: `setup`, not timed, and `work`, timed, called `repeat` times.  Both may change
every register but the stack pointer; `work` returns a value in EAX, and all of them are folded into the checksum.
Memory: 0x100000 the image, 0x200000 page tables, 0x300000 stack, from 0x400000 the guest's own, up to 64 MiB; the
loader zeroes what lies between the image and 0x400000.
Not here: interrupts; they stay off, and no device is used but COM1 and the debug-exit port.
"""

from __future__ import annotations

from dataclasses import dataclass

from machines.guests import asm

DEBUG_EXIT_PORT = 0xF4
COM1 = 0x3F8
MEMORY_MIB = 64
MEMORY_END = 0x400000
CHECKSUM_FACTOR = 0x01000193  # the prime of 32-bit FNV: checksum = checksum * factor ^ value


@dataclass(frozen=True)
class Guest:
    """A benchmark: `bits` is 32 or 64; `repeat` is worth some seconds under QEMU's TCG."""

    name: str
    bits: int
    repeat: int
    source: str
    unicorn: bool = True  # False: needs system-call or interrupt delivery, which unicorn leaves to its user


CONSTANTS = asm.definitions(
    CHECKSUM_FACTOR=CHECKSUM_FACTOR,
    DEBUG_EXIT=DEBUG_EXIT_PORT,
    COM1_DATA=COM1,
    COM1_IER=COM1 + 1,
    COM1_FCR=COM1 + 2,
    COM1_LCR=COM1 + 3,
    COM1_LSR=COM1 + 5,
    LCR_8N1=0x03,
    LCR_DLAB=0x80,
    FCR_ENABLE_AND_CLEAR=0x07,
    LSR_HOLDING_EMPTY=0x20,
    CODE32=0x08,
    DATA=0x10,
    CODE64=0x18,
    USER_DATA=0x33,
    USER_CODE64=0x3B,
    TSS=0x40,
    STACK_TOP=0x300000,
    PML4=0x200000,
    PDPT=0x201000,
    PAGE_DIRECTORY=0x202000,
    PAGE_PRESENT_WRITABLE=0x03,
    PAGE_USER=0x04,
    PAGE_LARGE=0x80,
    CR0_MP_NE=0x22,
    CR0_EM_TS=0x0C,
    CR0_PG=0x80000000,
    CR4_PAE=0x20,
    CR4_OSFXSR_OSXMMEXCPT=0x600,
    MSR_EFER=0xC0000080,
    EFER_LME_BIT=8,
    BUFFER=MEMORY_END,
)

ENTRY = """
start:
    cli
    cld
    lgdt [gdt_pointer]
    ljmp CODE32, flat
flat:
    mov eax, DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, STACK_TOP
    mov eax, cr0
    and eax, ~CR0_EM_TS
    or eax, CR0_MP_NE
    mov cr0, eax
    mov eax, cr4
    or eax, CR4_OSFXSR_OSXMMEXCPT
    mov cr4, eax
    fninit
    call serial_init
"""

SERIAL_INIT = """
.macro outb port, value
    mov dx, \\port
    mov al, \\value
    out dx, al
.endm
serial_init:
    outb COM1_IER, 0
    outb COM1_LCR, LCR_DLAB
    outb COM1_DATA, 1
    outb COM1_IER, 0
    outb COM1_LCR, LCR_8N1
    outb COM1_FCR, FCR_ENABLE_AND_CLEAR
    ret
"""

# The first GiB at its own addresses, open to ring 3.
ENTER_64 = """
    mov dword ptr [PML4], PDPT|PAGE_PRESENT_WRITABLE|PAGE_USER
    mov dword ptr [PDPT], PAGE_DIRECTORY|PAGE_PRESENT_WRITABLE|PAGE_USER
    mov eax, PAGE_PRESENT_WRITABLE|PAGE_USER|PAGE_LARGE
    mov edi, PAGE_DIRECTORY
    mov ecx, 512
map:
    mov [edi], eax
    add eax, 0x200000
    add edi, 8
    dec ecx
    jnz map
    mov eax, cr4
    or eax, CR4_PAE
    mov cr4, eax
    mov eax, PML4
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    bts eax, EFER_LME_BIT
    wrmsr
    mov eax, cr0
    or eax, CR0_PG
    mov cr0, eax
    ljmp CODE64, long_mode
.code64
long_mode:
    mov esp, STACK_TOP
"""

# {a}, {c}, {si}: the mode's accumulator, counter and source registers.
MAIN = """
    call setup
    call say
    .asciz "READY\\n"
    mov ecx, REPEAT
again:
    push {c}
    call work
    pop {c}
    mov edx, dword ptr [{checksum}]
    imul edx, edx, CHECKSUM_FACTOR
    xor edx, eax
    mov dword ptr [{checksum}], edx
    dec ecx
    jnz again
    call say
    .asciz "DONE "
    mov ebx, dword ptr [{checksum}]
    mov ecx, 8
digit:
    rol ebx, 4
    mov al, bl
    and al, 15
    add al, '0'
    cmp al, '9'
    jbe digit_print
    add al, 'a'-'0'-10
digit_print:
    call print_char
    dec ecx
    jnz digit
    call say
    .asciz "\\n"
    xor eax, eax
    out DEBUG_EXIT, al
stop:
    cli
    hlt
    jmp stop

say:
    pop {si}
say_next:
    lodsb
    test al, al
    jz say_done
    call print_char
    jmp say_next
say_done:
    jmp {si}

print_char:
    push {a}
    mov dx, COM1_LSR
print_char_wait:
    in al, dx
    test al, LSR_HOLDING_EMPTY
    jz print_char_wait
    pop {a}
    mov dx, COM1_DATA
    out dx, al
    ret
"""

DATA = """
.p2align 3
gdt:
    .quad 0
    .quad 0x00CF9A000000FFFF        # CODE32
    .quad 0x00CF92000000FFFF        # DATA
    .quad 0x00AF9A000000FFFF        # CODE64
    .quad 0x00CF92000000FFFF        # SYSCALL's SS
    .quad 0x00CFFA000000FFFF        # SYSRET to 32-bit code
    .quad 0x00CFF2000000FFFF        # USER_DATA
    .quad 0x00AFFA000000FFFF        # USER_CODE64
tss_descriptor:
    .quad 0, 0
gdt_end:
gdt_pointer:
    .word gdt_end-gdt-1
    .long gdt
checksum:
    .long 0
"""

REGISTERS = {
    32: {"a": "eax", "c": "ecx", "si": "esi", "checksum": "checksum"},
    64: {"a": "rax", "c": "rcx", "si": "rsi", "checksum": "rip+checksum"},
}


def source(guest: Guest, repeat: int) -> str:
    """The complete source of `guest`; data first, so that constants and labels read top down."""
    mode = ENTER_64 if guest.bits == 64 else ""
    main = MAIN.format(**REGISTERS[guest.bits])
    constants = CONSTANTS + asm.definitions(REPEAT=repeat)
    return constants + ENTRY + mode + main + guest.source + ".code32" + SERIAL_INIT + DATA


def image(guest: Guest, repeat: int) -> bytes:
    """The guest as a multiboot ELF-32."""
    return asm.multiboot_elf(source(guest, repeat), MEMORY_END)
