"""Code that changes under the engine's feet: by its own stores, another vCPU's, a device's, or the page tables'."""
from __future__ import annotations

import pytest

from jit.state import Exit
from jit.x86.state import Vector
from tests.jit.guest import CODE, DATA, EVERY, MMIO, OTHER_CODE, SPARE, STACK_TOP, WINDOW, WRITABLE, Guest

PAGE = 0x1000
NEW = 0x1_8000                          # bytes of `mov ebx, 7; hlt` and some more
MOV_EBX_7_HLT = bytes.fromhex("bb07000000f4")


@pytest.fixture(params=("native", "bytecode"))
def guest(request: pytest.FixtureRequest) -> Guest:
    return Guest(backend=request.param)


# --- the guest's own stores; RDI points at `mov ebx, 1; hlt` behind them
STORES = {
    "byte": "mov byte ptr [rdi + 1], 7", "dword": "mov dword ptr [rdi + 1], 7",
    "update": "add qword ptr [rdi], 0x600", "update, not last": "or word ptr [rdi], 0x600; mov ecx, 5",
    "exchange": "mov eax, 7; xchg [rdi + 1], al", "compare and exchange": "mov al, 1; mov cl, 7; lock cmpxchg [rdi + 1], cl",
    "string": "mov al, 7; inc rdi; stosb", "repeated string": "lea rsi, [r8]; mov ecx, 6; cld; rep movsb",
    "push": "lea rsp, [rdi + 8]; push qword ptr [r8]; mov rsp, 0xf000", "twice": "mov byte ptr [rdi + 1], 9; mov byte ptr [rdi + 1], 7",
    "vector": "movups xmm0, [r8]; movups [rdi], xmm0", "x87": "fild qword ptr [r8]; fistp qword ptr [rdi]",
    "pop to memory": "push qword ptr [r8]; pop qword ptr [rdi]", "flags across": "cmp eax, eax; mov byte ptr [rdi + 1], 6; adc byte ptr [rdi + 1], 1",
}


def put_target(guest: Guest, text: str, at: int = CODE) -> None:
    """`text`, then `mov ebx, 1; hlt`, whose address is in RDI; R8 points at `mov ebx, 7; hlt`."""
    target = guest.code(text, at)
    guest.code("mov ebx, 1; hlt", target)
    guest.write(NEW, MOV_EBX_7_HLT + bytes(10))
    guest["rdi"], guest["r8"], guest["rbx"], guest["rsp"] = target, NEW, 0, STACK_TOP


@pytest.mark.parametrize("kind", STORES)
def test_a_store_changes_an_instruction_later_in_its_own_block(guest: Guest, kind: str) -> None:
    for _ in range(2):
        put_target(guest, STORES[kind])
        assert guest.halts()["rbx"] == 7


@pytest.mark.parametrize("kind", STORES)
def test_a_store_changes_the_next_block_which_ran_before(guest: Guest, kind: str) -> None:
    put_target(guest, f"{STORES[kind]}; jmp over; over:")
    guest["rdi"] = DATA
    guest.halts()
    assert guest["rbx"] == 1
    put_target(guest, f"{STORES[kind]}; jmp over; over:")
    assert guest.halts()["rbx"] == 7


def test_code_that_changes_itself_counts_each_instruction_once(guest: Guest) -> None:
    put_target(guest, "nop; mov byte ptr [rdi + 1], 7; nop")
    guest.halts()
    assert guest.cpu.executed == 5
    assert guest.cpu.retired == 5


def test_a_loop_patches_its_own_immediate(guest: Guest) -> None:
    start = guest.code("mov ecx, 100; xor eax, eax")
    guest.code("top: add eax, 1; inc byte ptr [rdi]; dec ecx; jne top; hlt", start)
    guest["rdi"] = start + 2
    assert guest.halts()["rax"] == sum(range(1, 101))


def test_an_update_across_a_page_border_into_the_running_block_happens_once(guest: Guest) -> None:
    """Its first half lies in a page without code, its second in the block's own."""
    page = OTHER_CODE + PAGE
    guest.write(page - 4, bytes(4))
    guest.write(page, b"\x90" * 4)
    guest.code("add qword ptr [rdi], rax; nop; nop; hlt", page + 4)
    guest["rdi"], guest["rax"] = page - 4, 0x0000_0001_FFFF_FFFF
    guest.halts(page)
    assert guest.read(page - 4, 4) == 0xFFFF_FFFF
    assert guest.read(page, 4) == 0x9090_9091


def test_a_store_across_a_page_border_changes_code_on_both_sides(guest: Guest) -> None:
    page = OTHER_CODE + PAGE
    guest.code("mov al, 1; ret", page - 3)
    guest.code("call rsi; mov ebx, eax; mov [rdi], rdx; call rsi; hlt")
    guest["rsi"], guest["rdi"], guest["rdx"] = page - 3, page - 4, 0x9090_9090_C307_B090
    guest.halts()
    assert (guest["rbx"], guest["rax"]) == (1, 7)


def test_code_changes_through_another_mapping_of_its_page(guest: Guest) -> None:
    guest.map(WINDOW, CODE & ~0xFFF)
    put_target(guest, "mov byte ptr [r9 + 1], 7")
    guest["r9"] = WINDOW + guest["rdi"] % PAGE
    assert guest.halts()["rbx"] == 7


def test_the_frame_of_an_exception_overwrites_code(guest: Guest) -> None:
    code = OTHER_CODE + 0x20
    guest.code("mov ebx, 1; hlt", code)
    guest.halts(code)
    guest.code("mov rsp, r9; ud2")
    guest["r9"] = OTHER_CODE + 0x30                         # SS goes to +28h, RSP to +20h
    guest.run()
    assert guest.exception == Vector.UD
    assert guest.read(code, 4) == OTHER_CODE + 0x30         # xor [rax], al
    guest["rsp"], guest["rax"] = STACK_TOP, 1 << 60
    guest.run(code)
    assert guest.exception == Vector.GP


def test_a_store_to_data_beside_code_keeps_the_code(guest: Guest) -> None:
    guest.code("mov ecx, 50; top: inc dword ptr [rdi]; dec ecx; jne top; hlt")
    guest["rdi"] = CODE + 0x800
    guest.halts()
    blocks = guest.engine.statistics().blocks
    guest.halts()
    assert guest.engine.statistics().blocks == blocks
    assert guest.read(CODE + 0x800, 4) == 100


def test_a_loop_goes_on_in_the_replacement_of_a_block_that_died(guest: Guest) -> None:
    """Links into the dead block lead to its successor, without the dispatcher."""
    text = "mov ecx, 1000; top: dec ecx; jmp body; nop; nop; body: mov eax, 1; test ecx, ecx; jne top; hlt"
    guest.code(text)
    guest.halts()
    immediate = next(CODE + i for i in range(64) if guest.read(CODE + i, 5) == 0x01_B8) + 1
    guest.write(immediate, bytes([7]))
    before = guest.entries()
    assert guest.halts()["rax"] == 7
    assert guest.entries() - before < 20


# --- others
def test_another_vcpu_changes_code(guest: Guest) -> None:
    put_target(guest, "top: nop; jmp on; nop; on:")
    assert guest.halts()["rbx"] == 1
    other = guest.add_cpu()
    guest.code("mov byte ptr [rdi + 1], 7; hlt", OTHER_CODE)
    other.state["gpr"][7] = guest["rdi"]
    guest.halts(OTHER_CODE, other)
    assert guest.halts()["rbx"] == 7


def test_another_vcpu_has_no_stale_right_to_write_where_code_appears(guest: Guest) -> None:
    """It wrote to the page when there was no code yet; its soft TLB knows the page."""
    other = guest.add_cpu()
    guest.code("mov byte ptr [rdi + 1], 7; hlt", OTHER_CODE)
    put_target(guest, "nop")
    other.state["gpr"][7] = guest["rdi"]
    guest.halts(OTHER_CODE, other)
    put_target(guest, "nop")
    assert guest.halts()["rbx"] == 1
    guest.halts(OTHER_CODE, other)
    assert guest.halts()["rbx"] == 7


def test_a_device_changes_code_between_slices(guest: Guest) -> None:
    put_target(guest, "nop")
    guest.halts()
    guest.write(guest["rdi"] + 1, bytes([7]))
    assert guest.halts()["rbx"] == 7


def test_a_device_changes_code_of_the_next_block_while_the_guest_waits_for_it(guest: Guest) -> None:
    put_target(guest, "mov rax, [r9]; jmp over; over:")
    guest["r9"] = DATA
    assert guest.halts()["rbx"] == 1
    target = guest["rdi"]
    guest["r9"] = MMIO

    def change(*_: object) -> int:
        guest.write(target + 1, bytes([7]))
        return 0

    guest.handler = change
    assert guest.halts()["rbx"] == 7


def test_a_device_write_of_many_pages_drops_all_code_there(guest: Guest) -> None:
    for page in range(3):
        guest.code("mov ebx, 1; hlt", OTHER_CODE + page * PAGE)
        guest.halts(OTHER_CODE + page * PAGE)
    guest.write(OTHER_CODE, MOV_EBX_7_HLT.ljust(PAGE, b"\0") * 3)
    for page in range(3):
        guest["rbx"] = 0
        assert guest.halts(OTHER_CODE + page * PAGE)["rbx"] == 7


# --- page tables
def test_remapped_pages_run_their_own_code(guest: Guest) -> None:
    for i in range(2):
        guest.code(f"mov ebx, {i}; hlt", SPARE + i * PAGE, WINDOW)
    for i in (0, 1, 0, 1):
        guest.map(WINDOW, SPARE + i * PAGE)
        assert guest.halts(WINDOW)["rbx"] == i


def test_an_instruction_across_a_page_border_follows_the_second_page(guest: Guest) -> None:
    code = bytes.fromhex("bb01000000f4")                    # mov ebx, 1; hlt
    guest.write(SPARE + PAGE - 1, code[:1])
    guest.write(SPARE + PAGE, code[1:])
    guest.write(SPARE + 2 * PAGE, bytes([7]) + code[2:])
    guest.map(WINDOW, SPARE)
    for page, value in ((1, 1), (2, 7), (1, 1), (2, 7)):
        guest.map(WINDOW + PAGE, SPARE + page * PAGE)
        assert guest.halts(WINDOW + PAGE - 1)["rbx"] == value


def test_an_instruction_across_a_page_border_changes_with_either_page(guest: Guest) -> None:
    guest.map(WINDOW, SPARE)
    guest.map(WINDOW + PAGE, SPARE + 2 * PAGE)
    guest.write(SPARE + PAGE - 2, bytes.fromhex("bb01"))
    guest.write(SPARE + 2 * PAGE, bytes.fromhex("000000f4"))
    assert guest.halts(WINDOW + PAGE - 2)["rbx"] == 1
    guest.write(SPARE + 2 * PAGE, bytes([2]))
    assert guest.halts(WINDOW + PAGE - 2)["rbx"] == 0x201
    guest.write(SPARE + PAGE - 1, bytes([3]))
    assert guest.halts(WINDOW + PAGE - 2)["rbx"] == 0x203


def test_an_instruction_whose_second_page_is_missing_faults_with_that_page_and_can_be_retried(guest: Guest) -> None:
    guest.map(WINDOW, SPARE)
    guest.write(SPARE + PAGE - 1, MOV_EBX_7_HLT[:1])
    guest.write(SPARE + PAGE, MOV_EBX_7_HLT[1:])
    guest.run(WINDOW + PAGE - 1)
    assert guest.exception == Vector.PF
    assert int(guest.cpu.state["cr2"]) == WINDOW + PAGE
    guest.map(WINDOW + PAGE, SPARE + PAGE)
    assert guest.halts(WINDOW + PAGE - 1)["rbx"] == 7
    guest.map(WINDOW + PAGE, 0, 0)
    guest.run(WINDOW + PAGE - 1)
    assert guest.exception == Vector.PF


def test_an_instruction_whose_second_page_is_no_memory_stops_the_cpu(guest: Guest) -> None:
    guest.map(WINDOW, SPARE)
    guest.map(WINDOW + PAGE, MMIO)
    guest.write(SPARE + PAGE - 1, MOV_EBX_7_HLT[:1])
    assert guest.run(WINDOW + PAGE - 1) == Exit.ERROR
    assert int(guest.cpu.state["fault_address"]) == MMIO


@pytest.mark.parametrize("place", (WINDOW, WINDOW + PAGE - 1, WINDOW + PAGE - 2, WINDOW + PAGE - 9))
def test_bytes_that_are_no_instruction_become_one(guest: Guest, place: int) -> None:
    """0F 04 is undefined, 0F CB is BSWAP; the byte that decides may be in either page."""
    guest.map(WINDOW, SPARE)
    guest.map(WINDOW + PAGE, SPARE + PAGE)
    physical = place - WINDOW + SPARE
    guest.write(physical, bytes.fromhex("4848480f04c0f4") + bytes(10))
    guest.run(place)
    assert guest.exception == Vector.UD
    guest.write(physical + 4, bytes([0xCB]))                # bswap rbx
    guest["rbx"] = 1
    guest.write(physical + 5, bytes([0xF4]))
    assert guest.halts(place)["rbx"] == 1 << 56
    guest.write(physical + 4, bytes([0x04]))
    guest.run(place)
    assert guest.exception == Vector.UD


def test_code_where_no_memory_is_stops_the_cpu(guest: Guest) -> None:
    assert guest.run(MMIO) == Exit.ERROR


def test_a_direct_jump_to_another_page_follows_its_mapping(guest: Guest) -> None:
    guest.map(WINDOW, SPARE)
    guest.code(f"mov ecx, 3; top: dec ecx; jne top; jmp {WINDOW + PAGE}", SPARE, WINDOW)
    for i in range(1, 3):
        guest.code(f"mov ebx, {i}; hlt", SPARE + i * PAGE, WINDOW + PAGE)
    for i in (1, 2, 1, 2):
        guest.map(WINDOW + PAGE, SPARE + i * PAGE)
        assert guest.halts(WINDOW)["rbx"] == i


def test_code_goes_on_in_the_next_page_wherever_that_is(guest: Guest) -> None:
    guest.map(WINDOW, SPARE)
    guest.write(SPARE + PAGE - 4, b"\x90" * 4)
    for i in range(1, 3):
        guest.code(f"mov ebx, {i}; hlt", SPARE + i * PAGE, WINDOW + PAGE)
    for i in (1, 2, 1):
        guest.map(WINDOW + PAGE, SPARE + i * PAGE)
        assert guest.halts(WINDOW + PAGE - 4)["rbx"] == i


def test_a_call_through_the_jump_cache_follows_the_mapping(guest: Guest) -> None:
    guest.code("mov ecx, 3; top: call rsi; dec ecx; jne top; hlt")
    for i in range(2):
        guest.code(f"mov ebx, {i}; ret", SPARE + i * PAGE, WINDOW)
    guest["rsi"] = WINDOW
    for i in (0, 1, 0):
        guest.map(WINDOW, SPARE + i * PAGE)
        assert guest.halts()["rbx"] == i


def test_a_page_that_lost_its_write_right_after_stores_to_it_faults(guest: Guest) -> None:
    guest.map(WINDOW, SPARE)
    guest.code("mov [rdi], eax; hlt")
    guest["rdi"] = WINDOW
    guest.halts()
    guest.map(WINDOW, SPARE, EVERY & ~WRITABLE)
    guest.run()
    assert guest.exception == Vector.PF
