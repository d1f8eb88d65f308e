"""Control flow in 64-bit mode: recursive calls, and indirect calls with branches that no history predicts."""

from __future__ import annotations

from benchmarks.guests.runtime import Guest

# The value of a repetition is fibonacci(24) = 46368.
FIBONACCI = """
setup:
    ret

work:
    mov edi, 24
fibonacci:                          # edi: n; returns eax
    cmp edi, 2
    jb fibonacci_leaf
    push rdi
    dec edi
    call fibonacci
    pop rdi
    push rax
    sub edi, 2
    call fibonacci
    pop rdx
    add eax, edx
    ret
fibonacci_leaf:
    mov eax, edi
    ret
"""

# A pseudo-random stream picks one of eight operations through a table, then which way to branch.
DISPATCH = """
.set STEPS, 1<<18
setup:
    ret

work:
    mov ecx, STEPS
    mov ebx, 1
    mov eax, 1
dispatch_next:
    imul ebx, ebx, 1664525
    add ebx, 1013904223
    mov edx, ebx
    shr edx, 29
    call [rdx*8+dispatch_table]
    test ebx, 0x01000000
    jz dispatch_even
    add eax, ecx
dispatch_even:
    test ebx, 0x02000000
    jnz dispatch_odd
    rol eax, 3
dispatch_odd:
    dec ecx
    jnz dispatch_next
    ret

operation0: add eax, ebx
    ret
operation1: xor eax, ebx
    ret
operation2: sub eax, ebx
    ret
operation3: lea eax, [rax+rax*2]
    ret
operation4: not eax
    ret
operation5: rol eax, 7
    ret
operation6: neg eax
    ret
operation7: cmp eax, ebx
    jb operation7_done
    sub eax, ebx
operation7_done:
    ret
.p2align 3
dispatch_table:
    .quad operation0, operation1, operation2, operation3
    .quad operation4, operation5, operation6, operation7
"""

GUESTS = (Guest("fibonacci", 64, 1300, FIBONACCI), Guest("dispatch", 64, 330, DISPATCH))
