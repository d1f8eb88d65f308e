"""System work in 64-bit mode: page walks, and round trips between rings by SYSCALL/SYSRET and by INT/IRETQ.

SDM volume 3, 4.5 (4-level paging), 5.8.8 (SYSCALL), 6.14 (64-bit interrupts), 7.7 (64-bit TSS).
"""

from __future__ import annotations

from benchmarks.guests.runtime import Guest

# 4096 pages at 1 TiB map 4096 frames.  Each pass loads CR3, touches every page, then exchanges neighbouring
# mappings of every 16th page with INVLPG.
PAGES = """
.set WINDOW, 1<<40
.set WINDOW_SLOT, 2
.set WINDOW_PDPT, 0x204000
.set WINDOW_DIRECTORY, 0x205000
.set PAGE_TABLES, 0x210000
.set FRAMES, 0x1000000
.set PAGES, 4096
setup:
    mov dword ptr [PML4+8*WINDOW_SLOT], WINDOW_PDPT|PAGE_PRESENT_WRITABLE
    mov dword ptr [WINDOW_PDPT], WINDOW_DIRECTORY|PAGE_PRESENT_WRITABLE
    mov edi, WINDOW_DIRECTORY
    mov eax, PAGE_TABLES|PAGE_PRESENT_WRITABLE
    mov ebx, 0x1000
    mov ecx, PAGES/512
    call fill
    mov edi, PAGE_TABLES
    mov eax, FRAMES|PAGE_PRESENT_WRITABLE
    mov ecx, PAGES
fill:
    mov [rdi], rax
    add rax, rbx
    add rdi, 8
    dec ecx
    jnz fill
    ret

work:
    mov rax, cr3
    mov cr3, rax
    mov rsi, WINDOW
    mov ecx, PAGES
    xor eax, eax
touch:
    add eax, ecx
    add dword ptr [rsi], eax
    xor eax, [rsi+8]
    mov [rsi+8], eax
    add rsi, 0x1000
    dec ecx
    jnz touch
    mov rsi, WINDOW
    mov edi, PAGE_TABLES
    mov ecx, PAGES/16
exchange:
    mov r8, [rdi]
    mov r9, [rdi+8]
    mov [rdi], r9
    mov [rdi+8], r8
    invlpg [rsi]
    invlpg [rsi+0x1000]
    add eax, [rsi]
    sub eax, [rsi+0x1000]
    add rsi, 0x10000
    add rdi, 16*8
    dec ecx
    jnz exchange
    ret
"""

RINGS_COMMON = """
.set CALLS, 10000
.set USER_STACK_TOP, 0x3F0000
.set RFLAGS_RESERVED, 0x02
.set USER_FLAGS, 0x202
"""

SYSCALL = (
    RINGS_COMMON
    + """
.set MSR_STAR, 0xC0000081
.set MSR_LSTAR, 0xC0000082
.set MSR_SFMASK, 0xC0000084
.set EFER_SCE_BIT, 0
.set STAR_SELECTORS, 0x002B0018     # SYSRET base with RPL 3, SYSCALL base

setup:
    mov ecx, MSR_EFER
    rdmsr
    bts eax, EFER_SCE_BIT
    wrmsr
    mov ecx, MSR_STAR
    xor eax, eax
    mov edx, STAR_SELECTORS
    wrmsr
    mov ecx, MSR_LSTAR
    mov eax, kernel
    xor edx, edx
    wrmsr
    mov ecx, MSR_SFMASK
    mov eax, 0x200
    xor edx, edx
    wrmsr
    ret

work:                               # rbp keeps the ring 0 stack
    mov rbp, rsp
    xor r9d, r9d
    mov ecx, user
    mov r11d, RFLAGS_RESERVED
    mov esp, USER_STACK_TOP
    sysretq

user:                               # eax: 0 count a number, 1 leave
    mov ebx, CALLS
user_next:
    xor eax, eax
    mov edi, ebx
    syscall
    dec ebx
    jnz user_next
    mov eax, 1
    syscall

kernel:
    test eax, eax
    jnz kernel_leave
    mov r8, rsp
    mov rsp, rbp
    add r9d, edi
    rol r9d, 1
    mov rsp, r8
    sysretq
kernel_leave:
    mov rsp, rbp
    mov eax, r9d
    ret
"""
)

INTERRUPT = (
    RINGS_COMMON
    + """
.set IDT, 0x204000
.set TSS_BASE, 0x206000
.set TSS_RSP0, 4
.set TSS_SIZE, 104
.set TSS_AVAILABLE, 0x89
.set VECTOR, 0x80
.set GATE_INTERRUPT_USER, 0xEE00

setup:
    mov edi, IDT+16*VECTOR
    mov eax, kernel
    mov word ptr [rdi], ax
    mov word ptr [rdi+2], CODE64
    shr eax, 16
    mov word ptr [rdi+4], GATE_INTERRUPT_USER
    mov word ptr [rdi+6], ax
    lidt [rip+idt_pointer]
    mov edi, tss_descriptor
    mov eax, TSS_BASE
    mov word ptr [rdi], TSS_SIZE-1
    mov word ptr [rdi+2], ax
    shr eax, 16
    mov byte ptr [rdi+4], al
    mov byte ptr [rdi+5], TSS_AVAILABLE
    mov eax, TSS
    ltr ax
    ret

work:                               # rbp keeps the ring 0 stack
    mov rbp, rsp
    mov qword ptr [TSS_BASE+TSS_RSP0], STACK_TOP-0x1000
    xor r9d, r9d
    push USER_DATA
    push USER_STACK_TOP
    push RFLAGS_RESERVED
    push USER_CODE64
    mov eax, user
    push rax
    iretq

user:                               # eax: 0 count a number, 1 leave
    mov ebx, CALLS
user_next:
    xor eax, eax
    mov edi, ebx
    int VECTOR
    dec ebx
    jnz user_next
    mov eax, 1
    int VECTOR

kernel:
    test eax, eax
    jnz kernel_leave
    add r9d, edi
    rol r9d, 1
    iretq
kernel_leave:
    mov rsp, rbp
    mov eax, r9d
    ret

idt_pointer:
    .word 256*16-1
    .quad IDT
"""
)

GUESTS = (
    Guest("pages", 64, 3000, PAGES),
    Guest("syscall", 64, 2300, SYSCALL, unicorn=False),
    Guest("interrupt", 64, 900, INTERRUPT, unicorn=False),
)
