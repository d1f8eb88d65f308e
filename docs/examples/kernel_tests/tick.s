# A kernel of one page, entered by multiboot in 32-bit mode.  Bytes it takes on COM1:
#   t  prints how often the timer has ticked      d  divides by zero, and survives
#   c  counts the CPUs that the hot-plug registers show; anything else is echoed

.set CODE, 0x08
.set DATA, 0x10
.set STACK_TOP, 0x180000
.set IDT, 0x181000
.set COM1, 0x3F8
.set VGA_TEXT, 0xB8000
.set LIGHT_GREY, 7
.set PIT_DIVISOR, 1193

start:
    cli
    lgdt [gdt_pointer]
    ljmp CODE, flat
flat:
    mov eax, DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, STACK_TOP
    mov ecx, 0
    lea eax, [divide_error]
    call set_gate
    mov ecx, 0x20
    lea eax, [tick]
    call set_gate
    lidt [idt_pointer]
    call pic_init
    call pit_init
    lea esi, [banner]
    call print
    call draw
    sti

main:
    hlt
    mov dx, COM1+5
    in al, dx
    test al, 1
    jz main
    mov dx, COM1
    in al, dx
    cmp al, 't'
    je print_ticks
    cmp al, 'd'
    je divide
    cmp al, 'c'
    je count_cpus
    call put
    jmp main

print_ticks:
    lea esi, [ticks_text]
    mov eax, [ticks]
    call report
    jmp main

divide:
    xor ecx, ecx
    mov eax, 1
    xor edx, edx
    div ecx
    lea esi, [survived_text]
    call print
    jmp main

# The recipe of the specification: a first store of 0 leaves the legacy bitmap, then select and look.
count_cpus:
    mov eax, 0x80000000
    mov dx, 0xCF8
    out dx, eax
    mov dx, 0xCFC
    in eax, dx
    mov ebx, 0xAF00
    cmp eax, 0x12378086
    je count_found
    mov ebx, 0xCD8
count_found:
    xor ecx, ecx
    xor edi, edi
count_next:
    mov edx, ebx
    mov eax, ecx
    out dx, eax
    add edx, 4
    in al, dx
    and eax, 1
    add edi, eax
    inc ecx
    cmp ecx, 8
    jne count_next
    lea esi, [cpus_text]
    mov eax, edi
    call report
    jmp main

# Handlers.
tick:
    push eax
    inc dword ptr [ticks]
    mov al, 0x20
    out 0x20, al
    pop eax
    iret

divide_error:
    push esi
    lea esi, [divide_text]
    call print
    pop esi
    add dword ptr [esp], 2
    iret

# Gate ECX goes to EAX.
set_gate:
    mov [ecx*8+IDT], ax
    mov word ptr [ecx*8+IDT+2], CODE
    mov word ptr [ecx*8+IDT+4], 0x8E00
    shr eax, 16
    mov [ecx*8+IDT+6], ax
    ret

pic_init:
    mov al, 0x11
    out 0x20, al
    out 0xA0, al
    mov al, 0x20
    out 0x21, al
    mov al, 0x28
    out 0xA1, al
    mov al, 4
    out 0x21, al
    mov al, 2
    out 0xA1, al
    mov al, 1
    out 0x21, al
    out 0xA1, al
    mov al, 0xFE
    out 0x21, al
    mov al, 0xFF
    out 0xA1, al
    ret

pit_init:
    mov al, 0x34
    out 0x43, al
    mov eax, PIT_DIVISOR
    out 0x40, al
    mov al, ah
    out 0x40, al
    ret

# Text at ESI, then EAX in decimal, then a newline.
report:
    push eax
    call print
    pop eax
    call print_decimal
    mov al, 10
    jmp put

print_decimal:
    xor edx, edx
    mov ecx, 10
    div ecx
    push edx
    test eax, eax
    jz print_digit
    call print_decimal
print_digit:
    pop eax
    add al, '0'
    jmp put

print:
    lodsb
    test al, al
    jz print_done
    call put
    jmp print
print_done:
    ret

# The banner at the top left of the screen, light grey on black.
draw:
    lea esi, [banner]
    mov edi, VGA_TEXT
    mov ah, LIGHT_GREY
draw_next:
    lodsb
    stosw
    cmp al, 10
    jne draw_next
    ret

put:
    push edx
    mov dx, COM1
    out dx, al
    pop edx
    ret

banner: .asciz "tick kernel\n"
ticks_text: .asciz "ticks "
cpus_text: .asciz "cpus "
divide_text: .asciz "divide error\n"
survived_text: .asciz "survived\n"
.balign 8
ticks: .long 0
gdt: .quad 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF
gdt_pointer:
    .word 23
    .long gdt
idt_pointer:
    .word 0x107
    .long IDT
