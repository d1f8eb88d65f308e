"""Integer work: the sieve of Eratosthenes over bytes in 32-bit mode and over bits of quadwords in 64-bit mode.

The value of a repetition is the number of primes below the limit: 82,025 below 2^20.
"""

from __future__ import annotations

from benchmarks.guests.runtime import Guest

SIEVE32 = """
.set LIMIT, 1<<20
setup:
    ret

work:                               # edi: one byte a number, 1 where composite
    mov edi, BUFFER
    mov ecx, LIMIT/4
    xor eax, eax
sieve_clear:
    mov [edi+ecx*4-4], eax
    dec ecx
    jnz sieve_clear
    mov esi, 2
sieve_candidate:
    mov ecx, esi
    imul ecx, esi
    cmp ecx, LIMIT
    jae sieve_count
    cmp byte ptr [edi+esi], 0
    jne sieve_next
sieve_mark:
    mov byte ptr [edi+ecx], 1
    add ecx, esi
    cmp ecx, LIMIT
    jb sieve_mark
sieve_next:
    inc esi
    jmp sieve_candidate
sieve_count:
    xor eax, eax
    mov ecx, 2
sieve_count_next:
    cmp byte ptr [edi+ecx], 1
    adc eax, 0
    inc ecx
    cmp ecx, LIMIT
    jb sieve_count_next
    ret
"""

SIEVE64 = """
.set LIMIT, 1<<20
setup:
    ret

work:                               # rdi: one bit a number, 1 where composite
    mov edi, BUFFER
    mov ecx, LIMIT/64
    xor eax, eax
    rep stosq
    mov edi, BUFFER
    mov r9d, 1
    mov esi, 2
sieve_candidate:
    mov r8, rsi
    imul r8, rsi
    cmp r8, LIMIT
    jae sieve_count
    mov rax, rsi
    shr rax, 6
    mov rdx, [rdi+rax*8]
    mov ecx, esi
    shr rdx, cl
    test dl, 1
    jnz sieve_next
sieve_mark:
    mov rax, r8
    shr rax, 6
    mov rcx, r8
    mov rdx, r9
    shl rdx, cl
    or [rdi+rax*8], rdx
    add r8, rsi
    cmp r8, LIMIT
    jb sieve_mark
sieve_next:
    inc rsi
    jmp sieve_candidate
sieve_count:                        # zero bits of every quadword, in parallel within a register
    mov r10, 0x5555555555555555
    mov r11, 0x3333333333333333
    mov r12, 0x0F0F0F0F0F0F0F0F
    mov r13, 0x0101010101010101
    xor eax, eax
    xor ecx, ecx
sieve_count_next:
    mov rdx, [rdi+rcx*8]
    not rdx
    mov rbx, rdx
    shr rbx, 1
    and rbx, r10
    sub rdx, rbx
    mov rbx, rdx
    and rdx, r11
    shr rbx, 2
    and rbx, r11
    add rdx, rbx
    mov rbx, rdx
    shr rbx, 4
    add rdx, rbx
    and rdx, r12
    imul rdx, r13
    shr rdx, 56
    add rax, rdx
    inc rcx
    cmp rcx, LIMIT/64
    jb sieve_count_next
    sub eax, 2                      # 0 and 1
    ret
"""

GUESTS = (Guest("sieve32", 32, 320, SIEVE32), Guest("sieve64", 64, 320, SIEVE64))
