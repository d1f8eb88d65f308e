# The hot-plug guest: boot, memory layout, main loop.
# Entered by multiboot in flat 32-bit mode; the boot CPU stays there.  CPUs it starts go on to 64-bit mode.
# Relies on nothing that firmware would have set up.  One CPU is started or stopped at a time.

.set CODE32, 0x08
.set DATA, 0x10
.set CODE64, 0x18

# Memory below 3 MiB.  The page tables and what follows are zero at entry.
.set TRAMPOLINE, 0x8000
.set PML4, 0x200000
.set PDPT, 0x201000
.set PAGE_DIRECTORIES, 0x202000
.set IDT32, 0x206000
.set IDT64, 0x207000
.set CPUS, 0x208000
.set AP_STACKS, 0x20C000
.set AP_STACK_SIZE, 0x400
.set BSP_STACK_TOP, 0x258000

# A CPU record.
.set CPU_RECORD_SHIFT, 5
.set CPU_APIC, 0
.set CPU_STATE, 4
.set CPU_COMMAND, 8
.set CPU_SEEN_APIC, 12
.set CPU_RESULT, 16
.set MAX_CPUS, 288

.set STATE_OFFLINE, 0
.set STATE_STARTING, 1
.set STATE_ONLINE, 2
.set STATE_PARKED, 3
.set STATE_FAULTED, 4

.set COMMAND_NONE, 0
.set COMMAND_PARK, 1

.set MULTIBOOT_FLAGS, 0
.set MULTIBOOT_CMDLINE, 16
.set MULTIBOOT_HAS_CMDLINE, 4

start:
    cli
    cld
    lgdt [gdt_pointer]
    ljmp CODE32, flat
flat:
    mov eax, DATA
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov ss, eax
    mov esp, BSP_STACK_TOP
    mov [multiboot_info], ebx
    call serial_init
    call say; .asciz "numachine hotplug guest\n"
    call read_command_line
    call find_chipset
    call pm_init
    call idt_init
    call interrupts_init
    call ap_init
    call find_interface
    call enumerate
    call gpe_init
    sti
    call start_present_cpus
    call say; .asciz "ready\n"
    mov byte ptr [event], 1

main:
    cli
    cmp byte ptr [event], 0
    jne main_event
    cmp byte ptr [command], 0
    jne main_command
    sti
    hlt
    jmp main
main_event:
    mov byte ptr [event], 0
    sti
    call scan
    jmp main
main_command:
    movzx eax, byte ptr [command]
    mov byte ptr [command], 0
    sti
    cmp al, 'q'
    je power_off
    cmp al, 'r'
    je reset
    cmp al, 's'
    jne main
    call count_present
    call count_online
    call print_possible_present
    call say; .asciz " online "
    mov eax, [online]
    call print_decimal
    call newline
    jmp main

# The word "ioapic" at the end of the command line takes interrupts through the I/O APIC instead of the 8259s.
read_command_line:
    mov ebx, [multiboot_info]
    test dword ptr [ebx+MULTIBOOT_FLAGS], MULTIBOOT_HAS_CMDLINE
    jz read_command_line_done
    mov esi, [ebx+MULTIBOOT_CMDLINE]
read_command_line_next:
    cmp byte ptr [esi], 0
    je read_command_line_done
    cmp dword ptr [esi], IOAPIC_WORD_START
    jne read_command_line_skip
    cmp word ptr [esi+4], IOAPIC_WORD_END
    jne read_command_line_skip
    mov byte ptr [use_ioapic], 1
read_command_line_skip:
    inc esi
    jmp read_command_line_next
read_command_line_done:
    ret

# -- console: 16550A at COM1, 115200 8n1, receive interrupt -----------------------------------------------------------

.set COM1_DATA, 0x3F8
.set COM1_IER, 0x3F9
.set COM1_FCR, 0x3FA
.set COM1_LCR, 0x3FB
.set COM1_MCR, 0x3FC
.set COM1_LSR, 0x3FD
.set LCR_8N1, 0x03
.set LCR_DLAB, 0x80
.set FCR_ENABLE_AND_CLEAR, 0x07
.set MCR_DTR_RTS_OUT2, 0x0B
.set IER_RECEIVED, 0x01
.set LSR_DATA_READY, 0x01
.set LSR_HOLDING_EMPTY, 0x20
.set LSR_ALL_SENT, 0x40
.set DIVISOR_115200, 1

.macro outb port, value
    mov dx, \port
    mov al, \value
    out dx, al
.endm

serial_init:
    outb COM1_IER, 0
    outb COM1_LCR, LCR_DLAB
    outb COM1_DATA, DIVISOR_115200
    outb COM1_IER, 0
    outb COM1_LCR, LCR_8N1
    outb COM1_FCR, FCR_ENABLE_AND_CLEAR
    outb COM1_MCR, MCR_DTR_RTS_OUT2
    outb COM1_IER, IER_RECEIVED
    ret

# All print routines keep every register.
print_char:                         # al: character
    push edx
    push eax
    mov dx, COM1_LSR
print_char_wait:
    in al, dx
    test al, LSR_HOLDING_EMPTY
    jz print_char_wait
    pop eax
    mov dx, COM1_DATA
    out dx, al
    pop edx
    ret

say:                                # the text follows the call
    xchg esi, [esp]
    call print_string
    xchg esi, [esp]
    ret

print_string:                       # esi: text; leaves esi behind its final zero
    push eax
print_string_next:
    lodsb
    test al, al
    jz print_string_done
    call print_char
    jmp print_string_next
print_string_done:
    pop eax
    ret

newline:
    push eax
    mov al, 10
    call print_char
    pop eax
    ret

print_decimal:                      # eax: number
    pushad
    xor ecx, ecx
    mov ebx, 10
print_decimal_divide:
    xor edx, edx
    div ebx
    push edx
    inc ecx
    test eax, eax
    jnz print_decimal_divide
print_decimal_digit:
    pop eax
    add al, '0'
    call print_char
    dec ecx
    jnz print_decimal_digit
    popad
    ret

print_hex64:                        # edx:eax: number, 16 digits
    xchg eax, edx
    call print_hex32
    xchg eax, edx
print_hex32:                        # eax: number, 8 digits
    pushad
    mov ebx, eax
    mov ecx, 8
print_hex32_digit:
    rol ebx, 4
    mov eax, ebx
    and eax, 15
    mov al, [hex_digits+eax]
    call print_char
    dec ecx
    jnz print_hex32_digit
    popad
    ret

# -- chipset: which one, its power management block, power off ----------------------------------------------------------

.set PCI_ADDRESS, 0xCF8
.set PCI_DATA, 0xCFC
.set HOST_BRIDGE, 0x80000000        # 00:00.0
.set PIIX4_PM, 0x80000B00           # 00:01.3
.set ICH9_LPC, 0x8000F800           # 00:1f.0
.set ID_440FX, 0x12378086
.set ID_Q35, 0x29C08086
.set CFG_PMBASE, 0x40
.set PIIX4_PMREGMISC, 0x80
.set PIIX4_PMIOSE, 0x01
.set ICH9_ACPI_CNTL, 0x44
.set ICH9_ACPI_EN_IRQ9, 0x80

.set PMBASE, 0x600
.set PM1_STS, 0x600
.set PM1_EN, 0x602
.set PM1_CNT, 0x604
.set PM1_PWRBTN, 0x100
.set PM1_SCI_EN, 0x0001
.set PM1_SLEEP_S5, 0x2000           # SLP_EN with SLP_TYP 0
.set RESET_CONTROL, 0xCF9
.set RESET_HARD, 0x06

.set PIIX4_HOTPLUG, 0xAF00
.set PIIX4_GPE_STS, 0xAFE0
.set PIIX4_GPE_EN, 0xAFE2
.set ICH9_HOTPLUG, 0x0CD8
.set ICH9_GPE_STS, 0x620
.set ICH9_GPE_EN, 0x628

pci_read:                           # eax: address; returns eax
    mov dx, PCI_ADDRESS
    out dx, eax
    mov dx, PCI_DATA
    in eax, dx
    ret

pci_write:                          # eax: address, ecx: value
    mov dx, PCI_ADDRESS
    out dx, eax
    mov dx, PCI_DATA
    mov eax, ecx
    out dx, eax
    ret

find_chipset:
    mov eax, HOST_BRIDGE
    call pci_read
    cmp eax, ID_440FX
    je find_chipset_pc
    cmp eax, ID_Q35
    je find_chipset_q35
    call say; .asciz "unknown host bridge 0x"
    call print_hex32
    call newline
    jmp stop
find_chipset_pc:
    call say; .asciz "machine pc\n"
    mov word ptr [hotplug_port], PIIX4_HOTPLUG
    mov word ptr [gpe_status_port], PIIX4_GPE_STS
    mov word ptr [gpe_enable_port], PIIX4_GPE_EN
    mov eax, PIIX4_PM+CFG_PMBASE
    mov ecx, PMBASE|1
    call pci_write
    mov eax, PIIX4_PM+PIIX4_PMREGMISC
    mov ecx, PIIX4_PMIOSE
    jmp pci_write
find_chipset_q35:
    call say; .asciz "machine q35\n"
    mov word ptr [hotplug_port], ICH9_HOTPLUG
    mov word ptr [gpe_status_port], ICH9_GPE_STS
    mov word ptr [gpe_enable_port], ICH9_GPE_EN
    mov eax, ICH9_LPC+CFG_PMBASE
    mov ecx, PMBASE|1
    call pci_write
    mov eax, ICH9_LPC+ICH9_ACPI_CNTL
    mov ecx, ICH9_ACPI_EN_IRQ9
    jmp pci_write

pm_init:
    mov dx, PM1_CNT
    mov ax, PM1_SCI_EN
    out dx, ax
    mov dx, PM1_EN
    mov ax, PM1_PWRBTN
    out dx, ax
    ret

wait_all_sent:
    mov dx, COM1_LSR
wait_all_sent_poll:
    in al, dx
    test al, LSR_ALL_SENT
    jz wait_all_sent_poll
    ret

power_off:
    call say; .asciz "power off\n"
    call wait_all_sent
    mov dx, PM1_CNT
    mov ax, PM1_SLEEP_S5
    out dx, ax
    mov ecx, 100
power_off_wait:
    mov eax, PIT_10MS
    call delay
    dec ecx
    jnz power_off_wait
    call say; .asciz "still powered\n"
stop:
    cli
    hlt
    jmp stop

reset:
    call say; .asciz "reset\n"
    call wait_all_sent
    outb RESET_CONTROL, RESET_HARD
    jmp stop
