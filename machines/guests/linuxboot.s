# Option ROM that starts a Linux kernel which the machine offers through fw_cfg.
#
# The firmware calls `boot` through the bootstrap entry vector of the PnP header (linuxboot.py), like a boot device of its own.
# Each part of the kernel is one DMA operation of fw_cfg, whose addresses have 64 bits: no part needs a copy, wherever it goes.
# Then the kernel's setup code is entered as the 16-bit boot protocol says: DS = ES = FS = GS = SS = its segment, CS 20h more,
# IP 0, interrupts off.  A part that cannot be read ends in a message and a return, and firmware tries its next boot device.

.code16
.set FW_CFG_SELECTOR, 0x510
.set FW_CFG_DATA, 0x511
.set FW_CFG_DMA_HIGH, 0x514
.set FW_CFG_DMA_LOW, 0x518

.set DMA_ERROR, 0x01
.set DMA_READ, 0x02
.set DMA_SELECT, 0x08

.set DESCRIPTOR, 0x7c00             # where firmware would have loaded a boot sector
.set DESCRIPTOR_LENGTH, 0x7c04      # all fields are big-endian
.set DESCRIPTOR_ADDRESS_HIGH, 0x7c08
.set DESCRIPTOR_ADDRESS_LOW, 0x7c0c
.set DESCRIPTOR_BIG_ENDIAN, 0x007c0000

.set PRINT_CHARACTER, 0x0e          # of int 10h

boot:
    cld
    xor ax, ax
    mov ds, ax
    mov bx, KERNEL_ADDR
    mov di, KERNEL_DATA
    call load
    mov bx, INITRD_ADDR
    mov di, INITRD_DATA
    call load
    mov bx, CMDLINE_ADDR
    mov di, CMDLINE_DATA
    call load
    mov bx, SETUP_ADDR
    mov di, SETUP_DATA
    call load

    cli
    mov ax, SETUP_SEGMENT
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ss, ax
    mov sp, SETUP_STACK
    mov ax, SETUP_ENTRY_SEGMENT
    push ax
    xor ax, ax
    push ax
    retf

# Read the item with key DI to where the item with key BX says; the next key after BX has its size.
load:
    mov ax, bx
    call read_number
    bswap eax
    mov dword ptr [DESCRIPTOR_ADDRESS_LOW], eax
    mov dword ptr [DESCRIPTOR_ADDRESS_HIGH], 0
    lea ax, [bx + 1]
    call read_number
    bswap eax
    mov dword ptr [DESCRIPTOR_LENGTH], eax
    movzx eax, di
    shl eax, 16
    mov al, DMA_SELECT + DMA_READ
    bswap eax
    mov dword ptr [DESCRIPTOR], eax
    xor eax, eax
    mov dx, FW_CFG_DMA_HIGH
    out dx, eax
    mov eax, DESCRIPTOR_BIG_ENDIAN
    mov dx, FW_CFG_DMA_LOW
    out dx, eax                     # starts the operation
waiting:
    mov eax, dword ptr [DESCRIPTOR]
    bswap eax
    test eax, eax
    jz done
    test al, DMA_ERROR
    jz waiting
    add sp, 4                       # forget who called: back to the firmware
    mov si, message
next_character:
    mov al, byte ptr cs:[si]
    test al, al
    jz give_up
    mov ah, PRINT_CHARACTER
    xor bx, bx
    int 0x10
    inc si
    jmp next_character
give_up:
    retf
done:
    ret

# EAX = the 32-bit number in the item with key AX.
read_number:
    mov dx, FW_CFG_SELECTOR
    out dx, ax
    mov dx, FW_CFG_DATA
    mov cx, 4
next_byte:
    in al, dx
    ror eax, 8                      # little-endian
    loop next_byte
    ret

message:
    .asciz "The kernel cannot be read from fw_cfg: does the machine have enough memory?\r\n"
