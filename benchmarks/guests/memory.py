"""Memory work in 64-bit mode: copies by string instructions, by SSE and by quadwords, and a chase through pointers."""

from __future__ import annotations

from benchmarks.guests.runtime import Guest

COPY_COMMON = """
.set SIZE, 1<<20
.set TARGET, BUFFER+0x200000
setup:
    mov edi, BUFFER
    mov ecx, (SIZE+64)/4
    mov eax, 12345
copy_fill:
    imul eax, eax, 1103515245
    add eax, 12345
    mov [rdi], eax
    add rdi, 4
    dec ecx
    jnz copy_fill
    ret

copy_sum:                           # sum of every 64th dword of the target
    mov esi, TARGET
    mov ecx, SIZE/256
    xor eax, eax
copy_sum_next:
    add eax, [rsi]
    add rsi, 256
    dec ecx
    jnz copy_sum_next
    ret
"""

# Quadwords aligned, dwords, then bytes between odd addresses.
COPY_REP = (
    COPY_COMMON
    + """
work:
    mov esi, BUFFER
    mov edi, TARGET
    mov ecx, SIZE/8
    rep movsq
    mov esi, BUFFER+4
    mov edi, TARGET
    mov ecx, SIZE/8
    rep movsd
    mov esi, BUFFER+3
    mov edi, TARGET+1
    mov ecx, SIZE/8
    rep movsb
    inc dword ptr [BUFFER+1024]
    jmp copy_sum
"""
)

COPY_SSE = (
    COPY_COMMON
    + """
work:
    mov esi, BUFFER
    mov edi, TARGET
    mov ecx, SIZE/64
copy_sse_aligned:
    movdqa xmm0, [rsi]
    movdqa xmm1, [rsi+16]
    movdqa xmm2, [rsi+32]
    movdqa xmm3, [rsi+48]
    movdqa [rdi], xmm0
    movdqa [rdi+16], xmm1
    movdqa [rdi+32], xmm2
    movdqa [rdi+48], xmm3
    add rsi, 64
    add rdi, 64
    dec ecx
    jnz copy_sse_aligned
    mov esi, BUFFER+4
    mov edi, TARGET
    mov ecx, SIZE/32
copy_sse_unaligned:
    movups xmm0, [rsi]
    movups [rdi], xmm0
    add rsi, 16
    add rdi, 16
    dec ecx
    jnz copy_sse_unaligned
    mov esi, BUFFER+8
    mov edi, TARGET
    mov ecx, SIZE/16
copy_quadwords:
    mov rax, [rsi+rcx*8-8]
    mov [rdi+rcx*8-8], rax
    dec rcx
    jnz copy_quadwords
    inc dword ptr [BUFFER+1024]
    jmp copy_sum
"""
)

# One cycle through all nodes: the successor of i is (i * 1664525 + 1013904223) mod 2^19, a full period.
CHASE = """
.set NODES, 1<<19
.set STEPS, 1<<20
setup:
    mov edi, BUFFER
    xor ecx, ecx
chase_link:
    imul eax, ecx, 1664525
    add eax, 1013904223
    and eax, NODES-1
    lea rax, [rdi+rax*8]
    mov [rdi+rcx*8], rax
    inc ecx
    cmp ecx, NODES
    jb chase_link
    mov [rip+chase_position], rdi
    ret

work:
    mov rax, [rip+chase_position]
    mov ecx, STEPS/8+1              # not a multiple of the cycle
chase_step:
.rept 8
    mov rax, [rax]
.endr
    dec ecx
    jnz chase_step
    mov [rip+chase_position], rax
    ret
.p2align 3
chase_position:
    .quad 0
"""

GUESTS = (
    Guest("memcpy_rep", 64, 250, COPY_REP),
    Guest("memcpy_sse", 64, 750, COPY_SSE),
    Guest("chase", 64, 28, CHASE),
)
