"""System management mode: a small firmware's handler, the save area, SMRAM, and firmware's part in CPU hot-plug on q35."""

from __future__ import annotations

import io

import pytest

from acpi.build import TABLES_FILE
from emu.chardev import BufferChardev
from emu.devices.piix import APMC_ENABLE, DEVACTB
from emu.devices.smi import OK_FILE, REQUESTED_FILE
from emu.qmp import QmpError
from emu.x86_smm import GPRS, RFLAGS, SAVE_AREA, SMBASE_AT
from emu.x86_state import save_record
from jit.x86.state import Gpr, Smm
from machines import Q35, Pc
from machines.guests import asm
from machines.pc_q35 import SMI_EN_APMC

ROM_SIZE, RESET_VECTOR = 0x10000, 0xFFF0
OLD_SMBASE, NEW_SMBASE = 0x30000, 0x40000
SAVED_RBX = SAVE_AREA + GPRS + 8 * (15 - Gpr.RBX)

# Copies its handler to where both SMBASEs want it and raises an SMI.  The handler prints a letter for the SMBASE it runs at, adds one
# to the interrupted EBX, and moves SMBASE.  Then EBX is printed, and the CPU halts for good.
FIRMWARE = f"""
.code16
    cld
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x7000
    mov ax, {OLD_SMBASE >> 4:#x}
    call install
    mov ax, {NEW_SMBASE >> 4:#x}
    call install
    mov ebx, 'a'
    mov al, 1
    out 0xb2, al
    nop
    mov dx, 0x402
    mov al, bl
    out dx, al
sleep:
    cli
    hlt
    mov al, '!'
    mov dx, 0x402
    out dx, al
    jmp sleep

install:
    mov es, ax
    mov si, handler
    mov di, 0x8000
    mov cx, 0x80
copy:
    mov al, byte ptr cs:[si]
    stosb
    inc si
    loop copy
    ret

handler:
    mov ax, cs
    mov al, ah
    add al, '0'
    mov dx, 0x402
    out dx, al
    inc dword ptr cs:[{SAVED_RBX:#x}]
    mov dword ptr cs:[{SAVE_AREA + SMBASE_AT:#x}], {NEW_SMBASE:#x}
    rsm
"""


@pytest.fixture
def bios(tmp_path):
    code = asm.assemble(FIRMWARE, 0, bits=16)
    start = asm.assemble(".byte 0xe9\n.word 0x000d", RESET_VECTOR, bits=16)  # jmp 0, modulo 64 KiB
    path = tmp_path / "smm.bin"
    path.write_bytes(code.ljust(RESET_VECTOR, b"\xf4") + start.ljust(ROM_SIZE - RESET_VECTOR, b"\xf4"))
    return path


def started(machine, bios, **options):
    """The machine with its debug console, SMIs from the APM port switched on."""
    console = BufferChardev("debugcon")
    vm = machine(bios=bios, memory="16M", smm=True, **options)
    vm.connect_debugcon(console)
    if machine is Q35:
        vm.pm.smi_en = SMI_EN_APMC
    else:
        vm.pm_function.config_write(DEVACTB, 4, APMC_ENABLE)
    vm.start()
    return vm, console


@pytest.mark.parametrize("machine", [Pc, Q35])
def test_the_handler_runs_and_what_it_changes_in_the_save_area_counts(machine, bios):
    vm, console = started(machine, bios)
    vm.run_for(100_000)
    assert console.text == "0b".replace("0", chr(ord("0") + (OLD_SMBASE >> 12)))
    assert vm.vcpus[0].smm.base == NEW_SMBASE


def test_a_halted_cpu_halts_again_behind_the_handler(bios):
    vm, console = started(Pc, bios)
    vm.run_for(100_000)
    vm.vcpus[0].on_smi()
    vm.run_for(100_000)
    assert console.text[-1] == chr(ord("0") + (NEW_SMBASE >> 12))
    assert vm.vcpus[0].halted
    assert vm.cpus[0].registers["ebx"] == ord("c")


def test_without_smm_the_apm_port_raises_nothing(bios):
    vm, console = started(Pc, bios)
    plain = Pc(bios=bios, memory="16M")
    plain.connect_debugcon(console)
    plain.start()
    plain.run_for(100_000)
    assert console.text == "a"


@pytest.mark.parametrize("long_mode", [False, True])
def test_all_state_comes_back(bios, long_mode):
    vm = Pc(bios=bios, memory="16M", smm=True)
    cpu = vm.vcpus[0]
    cpu.start_flat(0x123456, {"rsp": 0x8000, "r15": 1 << 63}, long_mode, cr3=0x9000)
    cpu.vcpu.call("set_flags", 0x246, -1 & 0xFFFFFF)
    before = save_record(cpu.vcpu)
    cpu.smm.pending = True
    cpu.smm.act()
    assert cpu.smm.inside
    assert (int(cpu.state["pc"]), int(cpu.state["cr0"]) & 1, int(cpu.state["efer"])) == (0x8000, 0, 0)
    assert int.from_bytes(vm.memory.read(OLD_SMBASE + SAVE_AREA + RFLAGS, 8), "little") == 0x246
    cpu.state["smm"] = Smm.LEAVING
    cpu.smm.act()
    assert save_record(cpu.vcpu) == before


def test_smram_shows_in_smm_and_while_it_is_open(bios):
    vm = Q35(bios=bios, memory="16M", smm=True)
    def shows():
        try:
            return bool(vm.memory.read(0xA0000, 1))
        except ValueError:
            return False
    assert not shows()
    vm.host_bridge.config_write(0x9D, 1, 0x48)
    assert shows()
    vm.host_bridge.config_write(0x9D, 1, 0x08)
    assert not shows()
    vm.vcpus[0].smm.pending = True
    vm.vcpus[0].smm.act()
    assert shows()
    vm.reset()
    assert not shows()


def test_a_snapshot_taken_in_the_handler_goes_on_there(bios):
    vm, _ = started(Q35, bios)
    vm.run_for(100_000)
    vm.vcpus[0].smm.pending = True
    vm.vcpus[0].smm.act()
    snapshot = io.BytesIO()
    vm.save(snapshot)
    snapshot.seek(0)
    other, console = started(Q35, bios)
    other.load(snapshot)
    assert other.vcpus[0].smm.inside
    other.run_for(100_000)
    assert not other.vcpus[0].smm.inside
    assert other.cpus[0].registers["ebx"] == ord("c")


# --- CPU hot-plug with firmware


def agree(vm, features):
    vm.fw_cfg.core.files[REQUESTED_FILE].data[:] = features.to_bytes(8, "little")
    vm.fw_cfg.core.files[OK_FILE].on_select()


@pytest.fixture
def q35(bios):
    return Q35(bios=bios, memory="16M", smm=True, smp="1,maxcpus=4")


def test_firmware_that_deals_with_no_cpus_prevents_plugging(q35):
    agree(q35, 1)
    with pytest.raises(QmpError, match="^cpu hotplug with SMI wasn't enabled by firmware$"):
        q35.qmp.cpu_add(id=1)
    assert len(q35.cpus) == 1


def test_firmware_that_lets_no_cpu_go_prevents_unplugging(q35):
    agree(q35, 3)
    q35.qmp.cpu_add(id=1)
    q35.hotplug.write(4, 4, 0)  # the guest switches to the modern registers
    with pytest.raises(QmpError, match="^cpu hot-unplug with SMI wasn't enabled by firmware$"):
        q35.qmp.device_del(id=q35.slots[1].cpu.path)


def test_a_reset_forgets_what_was_agreed(q35):
    agree(q35, 1)
    q35.reset()
    q35.qmp.cpu_add(id=1)
    assert len(q35.cpus) == 2


@pytest.mark.parametrize("features, commands", [(1, 0), (3, 1), (7, 2)])
def test_the_tables_raise_the_smis_that_were_agreed(q35, features, commands):
    agree(q35, features)
    files = q35.fw_cfg.core.files
    files[TABLES_FILE].on_select()
    assert (b"SMI resources" in files[TABLES_FILE].data) == bool(commands)
    assert bytes(files[TABLES_FILE].data).count(b"SMIC") == commands + bool(commands)
    assert (b"CEJF" in files[TABLES_FILE].data)


def test_a_broadcast_reaches_every_cpu(q35):
    agree(q35, 3)
    q35.qmp.cpu_add(id=1)
    q35.pm.smi_en = SMI_EN_APMC
    q35.io.write(0xB2, 1, 4)
    assert [cpu.smm.pending for cpu in q35.vcpus.values()] == [True, True]
