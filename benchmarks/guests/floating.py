"""Floating point: the product of two 64 by 64 matrices of doubles, by packed SSE2 and by the x87.

All elements are small whole numbers, so every product and sum is exact and both ways give the same values.
Element i of A is i * 7 mod 23, of B is i * 5 mod 19; the value of a repetition folds the bits of the product.
"""

from __future__ import annotations

from benchmarks.guests.runtime import Guest

COMMON = """
.set ORDER, 64
.set ROW, ORDER*8
.set ELEMENTS, ORDER*ORDER
.set A, BUFFER
.set B, BUFFER+0x10000
.set C, BUFFER+0x20000

setup:
    mov edi, A
    mov ebx, 7
    mov esi, 23
    call fill
    mov edi, B
    mov ebx, 5
    mov esi, 19
fill:
    xor ecx, ecx
fill_next:
    mov eax, ecx
    mul ebx
    div esi
    cvtsi2sd xmm0, edx
    movsd qword ptr [rdi+rcx*8], xmm0
    inc ecx
    cmp ecx, ELEMENTS
    jb fill_next
    ret

fold:                               # both halves of every element of C
    mov esi, C
    mov ecx, ELEMENTS*2
    xor eax, eax
fold_next:
    rol eax, 1
    xor eax, [rsi+rcx*4-4]
    dec ecx
    jnz fold_next
    ret
"""

# Two columns at a time.
SSE2 = (
    COMMON
    + """
work:
    mov r8d, A
    mov r10d, C
    mov r11d, ORDER
sse_row:
    xor r9d, r9d
sse_columns:
    xorpd xmm0, xmm0
    mov rsi, r8
    lea rdi, [r9+B]
    mov ecx, ORDER
sse_term:
    movsd xmm1, [rsi]
    unpcklpd xmm1, xmm1
    movapd xmm2, [rdi]
    mulpd xmm1, xmm2
    addpd xmm0, xmm1
    add rsi, 8
    add rdi, ROW
    dec ecx
    jnz sse_term
    movapd [r10+r9], xmm0
    add r9d, 16
    cmp r9d, ROW
    jb sse_columns
    add r8, ROW
    add r10, ROW
    dec r11d
    jnz sse_row
    jmp fold
"""
)

X87 = (
    COMMON
    + """
work:
    mov r8d, A
    mov r10d, C
    mov r11d, ORDER
x87_row:
    xor r9d, r9d
x87_column:
    fldz
    mov rsi, r8
    lea rdi, [r9+B]
    mov ecx, ORDER
x87_term:
    fld qword ptr [rsi]
    fmul qword ptr [rdi]
    faddp st(1), st
    add rsi, 8
    add rdi, ROW
    dec ecx
    jnz x87_term
    fstp qword ptr [r10+r9]
    add r9d, 8
    cmp r9d, ROW
    jb x87_column
    add r8, ROW
    add r10, ROW
    dec r11d
    jnz x87_row
    jmp fold
"""
)

GUESTS = (Guest("matrix_sse2", 64, 450, SSE2), Guest("matrix_x87", 64, 110, X87))
