# The hot-plug guest: interrupts of the boot CPU, through the 8259s or the I/O APIC, and a delay that halts.

.set PIC1_COMMAND, 0x20
.set PIC1_DATA, 0x21
.set PIC2_COMMAND, 0xA0
.set PIC2_DATA, 0xA1
.set ELCR2, 0x4D1
.set ICW1_INIT_ICW4, 0x11
.set ICW3_CASCADE_IRQ2, 0x04
.set ICW3_SLAVE_ID2, 0x02
.set ICW4_8086, 0x01
.set PIC1_MASK, 0xEA                # open: 0 timer, 2 cascade, 4 COM1
.set PIC2_MASK, 0xFD                # open: 9 SCI
.set PIC_MASK_ALL, 0xFF
.set ELCR2_IRQ9, 0x02
.set EOI_SPECIFIC, 0x60
.set EOI_CASCADE, 0x62

.set IRQ_BASE, 0x20
.set IRQ_TIMER, 0
.set IRQ_COM1, 4
.set IRQ_SCI, 9

.set IOAPIC_SELECT, 0xFEC00000
.set IOAPIC_WINDOW, 0xFEC00010
.set IOAPIC_REDIRECTION, 0x10
.set IOAPIC_LEVEL, 0x8000
.set GSI_TIMER, 2
.set GSI_COM1, 4
.set GSI_SCI, 9

.set LAPIC, 0xFEE00000
.set LAPIC_ID, 0x20
.set LAPIC_TPR, 0x80
.set LAPIC_EOI, 0xB0
.set LAPIC_SVR, 0xF0
.set LAPIC_ICR_LOW, 0x300
.set LAPIC_ICR_HIGH, 0x310
.set LAPIC_LVT_LINT0, 0x350
.set CPUID_X2APIC_BIT, 21           # leaf 1, ECX
.set MSR_APIC_BASE, 0x1B
.set APIC_BASE_X2APIC_BIT, 10
.set MSR_X2APIC, 0x800              # plus a register's offset divided by 16
.set MSR_X2APIC_EOI, 0x80B
.set MSR_X2APIC_ICR, 0x830
.set LAPIC_LVT_LINT1, 0x360
.set SVR_ENABLE, 0x100
.set LVT_EXTINT, 0x700
.set LVT_NMI, 0x400
.set LVT_MASKED, 0x10000
.set VECTOR_SPURIOUS, 0x4F

.set PIT_CHANNEL0, 0x40
.set PIT_CONTROL, 0x43
.set PIT_CHANNEL0_MODE0, 0x30       # both bytes, one shot
.set PIT_10MS, 11932                # 1.193182 MHz
.set PIT_1MS, 1194
.set PIT_200US, 239

.set GATE_INTERRUPT, 0x8E00
.set EXCEPTIONS, 32
.set EXCEPTION_STUB_SIZE, 5
.set EXCEPTIONS_WITH_CODE, 0x00027D00

# -- descriptor tables ------------------------------------------------------------------------------------------------

idt_init:
    mov edi, IDT32
    mov ecx, EXCEPTIONS
    mov ebx, exception_stubs
idt_init_exception:
    mov eax, ebx
    call set_gate
    add ebx, EXCEPTION_STUB_SIZE
    dec ecx
    jnz idt_init_exception
    mov ecx, 256-EXCEPTIONS
idt_init_other:
    mov eax, ignore_interrupt
    call set_gate
    dec ecx
    jnz idt_init_other
    mov edi, IDT32+8*(IRQ_BASE+IRQ_TIMER)
    mov eax, timer_interrupt
    call set_gate
    mov edi, IDT32+8*(IRQ_BASE+IRQ_COM1)
    mov eax, com1_interrupt
    call set_gate
    mov edi, IDT32+8*(IRQ_BASE+IRQ_SCI)
    mov eax, sci_interrupt
    call set_gate
    lidt [idt32_pointer]
    ret

set_gate:                           # eax: handler, edi: gate; moves edi on
    mov word ptr [edi], ax
    mov word ptr [edi+2], CODE32
    shr eax, 16
    mov word ptr [edi+4], GATE_INTERRUPT
    mov word ptr [edi+6], ax
    add edi, 8
    ret

# -- interrupt controllers ----------------------------------------------------------------------------------------------

# In x2APIC mode, which a CPU gets if it can, the registers are MSRs and APIC ids have 32 bits.
local_apic_init:
    mov eax, 1
    cpuid
    bt ecx, CPUID_X2APIC_BIT
    jnc local_apic_registers
    call say; .asciz "local apic x2apic\n"
    mov byte ptr [use_x2apic], 1
    mov ecx, MSR_APIC_BASE
    rdmsr
    bts eax, APIC_BASE_X2APIC_BIT
    wrmsr
local_apic_registers:
    mov ecx, LAPIC_TPR
    xor eax, eax
    call lapic_write
    mov ecx, LAPIC_SVR
    mov eax, SVR_ENABLE|VECTOR_SPURIOUS
    call lapic_write
    mov ecx, LAPIC_LVT_LINT1
    mov eax, LVT_NMI
    call lapic_write
    cmp byte ptr [use_x2apic], 0
    jne local_apic_wide_id
    mov eax, [LAPIC+LAPIC_ID]
    shr eax, 24
    mov [bsp_apic], eax
    ret
local_apic_wide_id:
    mov ecx, MSR_X2APIC+(LAPIC_ID>>4)
    rdmsr
    mov [bsp_apic], eax
    ret

lapic_write:                        # ecx: register, eax: value; changes ecx, edx
    cmp byte ptr [use_x2apic], 0
    jne lapic_write_msr
    mov [LAPIC+ecx], eax
    ret
lapic_write_msr:
    shr ecx, 4
    add ecx, MSR_X2APIC
    xor edx, edx
    wrmsr
    ret

interrupts_init:
    outb PIT_CONTROL, PIT_CHANNEL0_MODE0
    call local_apic_init
    outb PIC1_COMMAND, ICW1_INIT_ICW4
    outb PIC1_DATA, IRQ_BASE
    outb PIC1_DATA, ICW3_CASCADE_IRQ2
    outb PIC1_DATA, ICW4_8086
    outb PIC2_COMMAND, ICW1_INIT_ICW4
    outb PIC2_DATA, IRQ_BASE+8
    outb PIC2_DATA, ICW3_SLAVE_ID2
    outb PIC2_DATA, ICW4_8086
    cmp byte ptr [use_ioapic], 0
    jne ioapic_init
    call say; .asciz "interrupts 8259\n"
    outb PIC1_DATA, PIC1_MASK
    outb PIC2_DATA, PIC2_MASK
    outb ELCR2, ELCR2_IRQ9
    mov ecx, LAPIC_LVT_LINT0
    mov eax, LVT_EXTINT
    jmp lapic_write

ioapic_init:
    call say; .asciz "interrupts ioapic\n"
    outb PIC1_DATA, PIC_MASK_ALL
    outb PIC2_DATA, PIC_MASK_ALL
    mov ecx, LAPIC_LVT_LINT0
    mov eax, LVT_MASKED
    call lapic_write
    mov ecx, IOAPIC_REDIRECTION+2*GSI_TIMER
    mov ebx, IRQ_BASE+IRQ_TIMER
    call ioapic_route
    mov ecx, IOAPIC_REDIRECTION+2*GSI_COM1
    mov ebx, IRQ_BASE+IRQ_COM1
    call ioapic_route
    mov ecx, IOAPIC_REDIRECTION+2*GSI_SCI
    mov ebx, IOAPIC_LEVEL|(IRQ_BASE+IRQ_SCI)
ioapic_route:                       # ecx: low register of the entry, ebx: its value; to the boot CPU
    mov eax, [bsp_apic]
    shl eax, 24
    inc ecx
    mov [IOAPIC_SELECT], ecx
    mov [IOAPIC_WINDOW], eax
    dec ecx
    mov [IOAPIC_SELECT], ecx
    mov [IOAPIC_WINDOW], ebx
    ret

end_of_interrupt:                   # al: IRQ; changes eax, edx
    cmp byte ptr [use_ioapic], 0
    jne end_of_interrupt_apic
    cmp al, 8
    jb end_of_interrupt_first
    add al, EOI_SPECIFIC-8
    out PIC2_COMMAND, al
    mov al, EOI_CASCADE
    out PIC1_COMMAND, al
    ret
end_of_interrupt_first:
    add al, EOI_SPECIFIC
    out PIC1_COMMAND, al
    ret
end_of_interrupt_apic:
    push ecx
    mov ecx, LAPIC_EOI
    xor eax, eax
    call lapic_write
    pop ecx
    ret

# -- handlers -----------------------------------------------------------------------------------------------------------

timer_interrupt:
    push eax
    push edx
    mov byte ptr [timer_fired], 1
    mov al, IRQ_TIMER
    call end_of_interrupt
    pop edx
    pop eax
    iret

# Keeps one command, a lower-case letter, until the main loop has taken it.
com1_interrupt:
    push eax
    push edx
com1_interrupt_next:
    mov dx, COM1_LSR
    in al, dx
    test al, LSR_DATA_READY
    jz com1_interrupt_done
    mov dx, COM1_DATA
    in al, dx
    cmp al, 'a'
    jb com1_interrupt_next
    cmp byte ptr [command], 0
    jne com1_interrupt_next
    mov [command], al
    jmp com1_interrupt_next
com1_interrupt_done:
    mov al, IRQ_COM1
    call end_of_interrupt
    pop edx
    pop eax
    iret

# Takes the CPU hot-plug event and the power button off the line; the main loop does the work.
sci_interrupt:
    push eax
    push edx
    mov dx, [gpe_status_port]
    in al, dx
    test al, GPE_CPU_HOTPLUG
    jz sci_interrupt_button
    mov al, GPE_CPU_HOTPLUG
    out dx, al
    mov byte ptr [event], 1
sci_interrupt_button:
    mov dx, PM1_STS
    in ax, dx
    test ax, PM1_PWRBTN
    jz sci_interrupt_done
    mov ax, PM1_PWRBTN
    out dx, ax
    mov byte ptr [command], 'q'
sci_interrupt_done:
    mov al, IRQ_SCI
    call end_of_interrupt
    pop edx
    pop eax
ignore_interrupt:
    iret

exception_stubs:
.rept EXCEPTIONS
    call exception
.endr

exception:                          # the stub's return address tells the vector
    pop eax
    sub eax, exception_stubs+EXCEPTION_STUB_SIZE
    xor edx, edx
    mov ecx, EXCEPTION_STUB_SIZE
    div ecx
    mov ecx, EXCEPTIONS_WITH_CODE
    bt ecx, eax
    jnc exception_report
    add esp, 4
exception_report:
    call say; .asciz "exception "
    call print_decimal
    call say; .asciz " at 0x"
    pop eax
    call print_hex32
    call newline
    jmp stop

# -- time ---------------------------------------------------------------------------------------------------------------

delay:                              # eax: PIT ticks; halts; interrupts are on afterwards; changes eax, edx
    cli
    mov edx, eax
    mov al, PIT_CHANNEL0_MODE0
    out PIT_CONTROL, al
    mov byte ptr [timer_fired], 0
    mov al, dl
    out PIT_CHANNEL0, al
    mov al, dh
    out PIT_CHANNEL0, al
delay_wait:
    cli
    cmp byte ptr [timer_fired], 0
    jne delay_done
    sti
    hlt
    jmp delay_wait
delay_done:
    sti
    ret
