# The hot-plug guest: CPU hot-plug registers, starting and stopping CPUs, and the code that a started CPU runs.
# Registers: ACPI CPU hot-plug interface.  Start-up: INIT-SIPI-SIPI (SDM volume 3, "MP initialization").
# In this file edi is a CPU's index and esi its record.

.set HP_SELECTOR, 0                 # write; reads give the second data dword
.set HP_DATA2, 0
.set HP_FLAGS, 4
.set HP_COMMAND, 5
.set HP_DATA, 8
.set HP_ENABLED, 0x01
.set HP_INSERT, 0x02
.set HP_REMOVE, 0x04
.set HP_EJECT, 0x08
.set HP_COMMAND_NEXT_EVENT, 0
.set HP_COMMAND_OST_EVENT, 1
.set HP_COMMAND_OST_STATUS, 2
.set HP_COMMAND_ARCH_ID, 3

.set GPE_CPU_HOTPLUG, 0x04

.set OST_DEVICE_CHECK, 1
.set OST_EJECT_REQUEST, 3
.set OST_SUCCESS, 0
.set OST_FAILURE, 1
.set OST_EJECTION_IN_PROGRESS, 0x84

.set ICR_INIT, 0x4500
.set ICR_STARTUP, 0x4600|(TRAMPOLINE>>12)
.set ICR_FIXED, 0x4000
.set ICR_PENDING, 0x1000
.set VECTOR_WAKE, 0x41
.set IDT64_VECTORS, 0x50

.set CR0_PE, 1
.set CR0_CD_NW, 0x60000000
.set CR0_PG, 0x80000000
.set CR4_PAE, 0x20
.set MSR_EFER, 0xC0000080
.set EFER_LME, 8
.set PAGE_PRESENT_WRITABLE, 0x03
.set PAGE_CACHE_DISABLE, 0x10
.set PAGE_LARGE, 0x80
.set PAGES_PER_GIB, 512
.set LAST_GIB_PAGE, 3*512           # device memory lies in the fourth GiB

# -- register access ------------------------------------------------------------------------------------------------------

hp_select:                          # edi: CPU; changes eax, edx
    mov eax, edi
    mov dx, [hotplug_port]
    out dx, eax
    ret

hp_flags:                           # edi: CPU; returns al; changes edx
    call hp_select
    add dx, HP_FLAGS
    xor eax, eax
    in al, dx
    ret

hp_set_flag:                        # edi: CPU, cl: flag; changes eax, edx
    call hp_select
    add dx, HP_FLAGS
    mov al, cl
    out dx, al
    ret

hp_command:                         # edi: CPU, cl: command; leaves dx at the data register; changes eax
    call hp_select
    add dx, HP_COMMAND
    mov al, cl
    out dx, al
    add dx, HP_DATA-HP_COMMAND
    ret

report_ost:                         # edi: CPU, ebx: event, ecx: status; changes eax, edx
    push ecx
    mov cl, HP_COMMAND_OST_EVENT
    call hp_command
    mov eax, ebx
    out dx, eax
    mov cl, HP_COMMAND_OST_STATUS
    call hp_command
    pop ecx
    mov eax, ecx
    out dx, eax
    ret

# -- enumeration --------------------------------------------------------------------------------------------------------

# The first write of 0 switches a legacy block to the modern interface; then command 0 must read 0 as second data.
find_interface:
    call say; .asciz "interface "
    mov dx, [hotplug_port]
    in eax, dx
    test eax, eax
    jz find_interface_switch
    call say; .asciz "legacy "
find_interface_switch:
    xor edi, edi
    call hp_select
    mov cl, HP_COMMAND_NEXT_EVENT
    call hp_command
    mov dx, [hotplug_port]
    in eax, dx
    test eax, eax
    jz find_interface_modern
    call say; .asciz "unknown 0x"
    call print_hex32
    call newline
    jmp stop
find_interface_modern:
    call say; .asciz "modern\n"
    ret

# Selector i is possible as long as command 0 echoes it; an impossible one reads 0.
enumerate:
    xor edi, edi
enumerate_next:
    cmp edi, MAX_CPUS
    je enumerate_done
    call hp_select
    test edi, edi
    jz enumerate_possible
    add dx, HP_DATA
    in eax, dx
    test eax, eax
    jz enumerate_done
enumerate_possible:
    inc edi
    jmp enumerate_next
enumerate_done:
    mov [possible], edi
    call count_present
    call print_possible_present
    jmp newline

print_possible_present:
    call say; .asciz "possible "
    mov eax, [possible]
    call print_decimal
    call say; .asciz " present "
    mov eax, [present]
    jmp print_decimal

count_present:
    mov dword ptr [present], 0
    xor edi, edi
count_present_next:
    call hp_flags
    and eax, HP_ENABLED
    add [present], eax
    inc edi
    cmp edi, [possible]
    jb count_present_next
    ret

count_online:
    mov dword ptr [online], 0
    xor edi, edi
count_online_next:
    call load_record
    cmp dword ptr [esi+CPU_STATE], STATE_ONLINE
    jne count_online_skip
    inc dword ptr [online]
count_online_skip:
    inc edi
    cmp edi, [possible]
    jb count_online_next
    ret

load_record:                        # edi: CPU; returns esi
    mov esi, edi
    shl esi, CPU_RECORD_SHIFT
    add esi, CPUS
    ret

load_apic_id:                       # edi: CPU, esi: record; changes eax, ecx, edx
    mov cl, HP_COMMAND_ARCH_ID
    call hp_command
    in eax, dx
    mov [esi+CPU_APIC], eax
    ret

gpe_init:
    mov dx, [gpe_status_port]
    mov al, GPE_CPU_HOTPLUG
    out dx, al
    mov dx, [gpe_enable_port]
    out dx, al
    ret

# CPUs that are there from the beginning wait for SIPI like any other.
start_present_cpus:
    xor edi, edi
start_present_cpus_next:
    call load_record
    call hp_flags
    test al, HP_ENABLED
    jz start_present_cpus_skip
    test al, HP_INSERT
    jnz start_present_cpus_skip
    call load_apic_id
    cmp eax, [bsp_apic]
    je start_present_cpus_self
    call start_cpu
    jmp start_present_cpus_skip
start_present_cpus_self:
    mov dword ptr [esi+CPU_STATE], STATE_ONLINE
start_present_cpus_skip:
    inc edi
    cmp edi, [possible]
    jb start_present_cpus_next
    ret

# -- events -------------------------------------------------------------------------------------------------------------

scan:
    xor edi, edi
    mov cl, HP_COMMAND_NEXT_EVENT
    call hp_command
    in eax, dx
    mov edi, eax
    call load_record
    call hp_flags
    test al, HP_INSERT
    jnz scan_insert
    test al, HP_REMOVE
    jnz scan_remove
    ret
scan_insert:
    call plug
    jmp scan
scan_remove:
    call unplug
    jmp scan

print_cpu_and_apic:
    mov eax, edi
    call print_decimal
    call say; .asciz " apic "
    mov eax, [esi+CPU_APIC]
    call print_decimal
    jmp newline

plug:
    mov cl, HP_INSERT
    call hp_set_flag
    call load_apic_id
    call say; .asciz "plug: cpu "
    call print_cpu_and_apic
    call start_cpu
    mov ecx, eax
    mov ebx, OST_DEVICE_CHECK
    jmp report_ost

unplug:
    mov cl, HP_REMOVE
    call hp_set_flag
    call load_apic_id
    call say; .asciz "unplug: cpu "
    call print_cpu_and_apic
    mov ebx, OST_EJECT_REQUEST
    mov ecx, OST_EJECTION_IN_PROGRESS
    call report_ost
    mov ecx, OST_FAILURE
    call park_cpu
    jc report_ost
    mov cl, HP_EJECT
    call hp_set_flag
    call hp_flags
    mov ecx, OST_FAILURE
    test al, HP_ENABLED
    jnz unplug_refused
    call say_cpu
    call say; .asciz " ejected\n"
    mov ecx, OST_SUCCESS
    jmp report_ost
unplug_refused:
    call say_cpu
    call say; .asciz " failed: still present after eject\n"
    jmp report_ost

say_cpu:
    call say; .asciz "cpu "
    mov eax, edi
    jmp print_decimal

# -- starting and stopping ------------------------------------------------------------------------------------------------

send_ipi:                           # esi: record, eax: ICR; changes eax, edx
    mov edx, [esi+CPU_APIC]
    cmp byte ptr [use_x2apic], 0
    jne send_ipi_msr
    shl edx, 24
    mov [LAPIC+LAPIC_ICR_HIGH], edx
    mov [LAPIC+LAPIC_ICR_LOW], eax
send_ipi_wait:
    test dword ptr [LAPIC+LAPIC_ICR_LOW], ICR_PENDING
    jnz send_ipi_wait
    ret
send_ipi_msr:
    push ecx
    mov ecx, MSR_X2APIC_ICR
    wrmsr
    pop ecx
    ret

wait_while_state:                   # esi: record, ebx: state; up to a second; changes eax, ecx, edx
    mov ecx, 1000
wait_while_state_next:
    cmp [esi+CPU_STATE], ebx
    jne wait_while_state_done
    mov eax, PIT_1MS
    call delay
    dec ecx
    jnz wait_while_state_next
wait_while_state_done:
    ret

start_cpu:                          # edi: CPU, esi: record; returns eax: OST status
    mov [starting], edi
    mov dword ptr [esi+CPU_COMMAND], COMMAND_NONE
    mov dword ptr [esi+CPU_STATE], STATE_STARTING
    mov eax, ICR_INIT
    call send_ipi
    mov eax, PIT_10MS
    call delay
    mov eax, ICR_STARTUP
    call send_ipi
    mov eax, PIT_200US
    call delay
    mov eax, ICR_STARTUP
    call send_ipi
    mov ebx, STATE_STARTING
    call wait_while_state
    call say_cpu
    cmp dword ptr [esi+CPU_STATE], STATE_STARTING
    je start_cpu_silent
    cmp dword ptr [esi+CPU_STATE], STATE_ONLINE
    jne start_cpu_faulted
    mov eax, [esi+CPU_SEEN_APIC]
    cmp eax, [esi+CPU_APIC]
    jne start_cpu_wrong_apic
    call expected_work
    cmp eax, [esi+CPU_RESULT]
    jne start_cpu_wrong_work
    cmp edx, [esi+CPU_RESULT+4]
    jne start_cpu_wrong_work
    call say; .asciz " online: work 0x"
    call print_hex64
    call newline
    mov eax, OST_SUCCESS
    ret
start_cpu_silent:
    call say; .asciz " failed: no answer to INIT-SIPI-SIPI\n"
    mov eax, OST_FAILURE
    ret
start_cpu_faulted:
    call say; .asciz " failed: exception\n"
    mov eax, OST_FAILURE
    ret
start_cpu_wrong_apic:
    call say; .asciz " failed: its local APIC id is "
    call print_decimal
    call newline
    mov eax, OST_FAILURE
    ret
start_cpu_wrong_work:
    mov eax, [esi+CPU_RESULT]
    mov edx, [esi+CPU_RESULT+4]
    call say; .asciz " failed: work 0x"
    call print_hex64
    call newline
    mov eax, OST_FAILURE
    ret

expected_work:                      # edi: CPU; returns edx:eax = WORK_SUM * (CPU + 1); changes ecx
    lea ecx, [edi+1]
    mov eax, WORK_SUM_HIGH
    mul ecx
    push eax
    mov eax, WORK_SUM_LOW
    mul ecx
    pop ecx
    add edx, ecx
    ret

park_cpu:                           # edi: CPU, esi: record; carry when it does not stop; keeps ebx, ecx
    cmp dword ptr [esi+CPU_STATE], STATE_ONLINE
    jne park_cpu_done
    pushad
    mov dword ptr [esi+CPU_COMMAND], COMMAND_PARK
    mov eax, ICR_FIXED|VECTOR_WAKE
    call send_ipi
    mov ebx, STATE_ONLINE
    call wait_while_state
    popad
    cmp dword ptr [esi+CPU_STATE], STATE_PARKED
    je park_cpu_done
    call say_cpu
    call say; .asciz " failed: does not stop\n"
    stc
    ret
park_cpu_done:
    mov dword ptr [esi+CPU_STATE], STATE_OFFLINE
    clc
    ret

# -- what a started CPU needs -----------------------------------------------------------------------------------------------

ap_init:
    mov esi, trampoline
    mov edi, TRAMPOLINE
    mov ecx, TRAMPOLINE_SIZE
    rep movsb
    mov dword ptr [PML4], PDPT|PAGE_PRESENT_WRITABLE
    mov eax, PAGE_DIRECTORIES|PAGE_PRESENT_WRITABLE
    mov edi, PDPT
    mov ecx, 4
ap_init_directory:
    mov [edi], eax
    add eax, 0x1000
    add edi, 8
    dec ecx
    jnz ap_init_directory
    mov eax, PAGE_LARGE|PAGE_PRESENT_WRITABLE
    mov edi, PAGE_DIRECTORIES
    mov ecx, LAST_GIB_PAGE
    call map_pages
    or eax, PAGE_CACHE_DISABLE
    mov ecx, PAGES_PER_GIB
    call map_pages
    mov edi, IDT64
    mov ecx, IDT64_VECTORS
ap_init_gate:
    mov eax, ap_exception
    cmp ecx, IDT64_VECTORS-EXCEPTIONS
    ja ap_init_set
    mov eax, ap_ignore
    cmp ecx, IDT64_VECTORS-VECTOR_WAKE
    jne ap_init_set
    mov eax, ap_wake
ap_init_set:
    call set_gate                   # the first half of a 64-bit gate is a 32-bit gate
    mov word ptr [edi-6], CODE64
    add edi, 8
    dec ecx
    jnz ap_init_gate
    ret

map_pages:                          # eax: first entry, edi: where, ecx: how many
    mov [edi], eax
    add eax, 0x200000
    add edi, 8
    dec ecx
    jnz map_pages
    ret

# Copied to TRAMPOLINE; a started CPU enters it in real mode with CS = TRAMPOLINE >> 4.
.set TRAMPOLINE_GDT_POINTER, TRAMPOLINE+8
.p2align 4
trampoline:
.code16
    jmp trampoline_start
    .p2align 3
    .word gdt_end-gdt-1
    .long gdt
trampoline_start:
    cli
    xor ax, ax
    mov ds, ax
    lgdt [TRAMPOLINE_GDT_POINTER]
    mov eax, cr0
    and eax, ~CR0_CD_NW
    or eax, CR0_PE
    mov cr0, eax
    ljmp CODE32, ap_protected
.set TRAMPOLINE_SIZE, 64

.code32
ap_protected:
    mov eax, DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov eax, cr4
    or eax, CR4_PAE
    mov cr4, eax
    mov eax, PML4
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    bts eax, EFER_LME
    wrmsr
    mov eax, cr0
    or eax, CR0_PG
    mov cr0, eax
    ljmp CODE64, ap_long

.code64
ap_long:
    mov edi, dword ptr [rip+starting]
    mov ebx, edi
    shl ebx, CPU_RECORD_SHIFT
    add ebx, CPUS
    lea esp, [rdi+1]
    imul esp, esp, AP_STACK_SIZE
    add esp, AP_STACKS
    lidt [rip+idt64_pointer]
    mov ebp, LAPIC
    cmp byte ptr [rip+use_x2apic], 0
    jne ap_x2apic
    mov dword ptr [rbp+LAPIC_TPR], 0
    mov dword ptr [rbp+LAPIC_SVR], SVR_ENABLE|VECTOR_SPURIOUS
    mov eax, [rbp+LAPIC_ID]
    shr eax, 24
    jmp ap_identified
ap_x2apic:
    mov ecx, MSR_APIC_BASE
    rdmsr
    bts eax, APIC_BASE_X2APIC_BIT
    wrmsr
    xor edx, edx
    xor eax, eax
    mov ecx, MSR_X2APIC+(LAPIC_TPR>>4)
    wrmsr
    mov eax, SVR_ENABLE|VECTOR_SPURIOUS
    mov ecx, MSR_X2APIC+(LAPIC_SVR>>4)
    wrmsr
    mov ecx, MSR_X2APIC+(LAPIC_ID>>4)
    rdmsr
ap_identified:
    mov [rbx+CPU_SEEN_APIC], eax
    xor eax, eax                    # sum of squares, times the CPU's index plus one
    mov ecx, WORK_TERMS
ap_work:
    mov rdx, rcx
    imul rdx, rcx
    add rax, rdx
    dec rcx
    jnz ap_work
    inc rdi
    imul rax, rdi
    mov [rbx+CPU_RESULT], rax
    mov dword ptr [rbx+CPU_STATE], STATE_ONLINE
ap_idle:
    cli
    cmp dword ptr [rbx+CPU_COMMAND], COMMAND_PARK
    je ap_park
    sti
    hlt
    jmp ap_idle
ap_park:
    mov dword ptr [rbx+CPU_STATE], STATE_PARKED
ap_stop:
    cli
    hlt
    jmp ap_stop

ap_wake:
    cmp byte ptr [rip+use_x2apic], 0
    jne ap_wake_x2apic
    mov dword ptr [rbp+LAPIC_EOI], 0
ap_ignore:
    iret
ap_wake_x2apic:
    push rax
    push rcx
    push rdx
    xor eax, eax
    xor edx, edx
    mov ecx, MSR_X2APIC_EOI
    wrmsr
    pop rdx
    pop rcx
    pop rax
    iret
ap_exception:
    mov dword ptr [rbx+CPU_STATE], STATE_FAULTED
    jmp ap_stop
.code32

# -- data ---------------------------------------------------------------------------------------------------------------

.p2align 3
gdt:
    .quad 0
    .quad 0x00CF9A000000FFFF        # CODE32: flat
    .quad 0x00CF92000000FFFF        # DATA: flat
    .quad 0x00AF9A000000FFFF        # CODE64
gdt_end:
gdt_pointer:
    .word gdt_end-gdt-1
    .long gdt
idt32_pointer:
    .word 256*8-1
    .long IDT32
idt64_pointer:
    .word IDT64_VECTORS*16-1
    .quad IDT64

.p2align 3
multiboot_info: .long 0
possible: .long 0
present: .long 0
online: .long 0
starting: .long 0
bsp_apic: .long 0
hotplug_port: .word 0
gpe_status_port: .word 0
gpe_enable_port: .word 0
event: .byte 0
command: .byte 0
timer_fired: .byte 0
use_ioapic: .byte 0
use_x2apic: .byte 0
hex_digits: .ascii "0123456789abcdef"
