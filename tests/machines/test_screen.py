"""vm.screen: what a person would see of text memory."""

from __future__ import annotations

import pytest

from machines import Pc
from machines.guests import asm

TEXT = 0xB8000
HELLO = f"""
    mov edi, {TEXT:#x}
    mov word ptr [edi], 0x0748
    mov word ptr [edi + 2], 0x0769
    mov byte ptr [edi + 160], 0xdb
    mov byte ptr [edi + 3998], '!'
    mov dx, 0x3d4
    mov ax, 0x510f
    out dx, ax
halt:
    hlt
    jmp halt
"""


@pytest.fixture
def vm():
    with Pc(memory="16M", kernel=asm.multiboot_elf(HELLO)) as vm:
        yield vm


def test_a_guest_writes_characters_and_they_are_seen(vm):
    vm.run_for(10_000)
    assert vm.screen.lines[0] == "Hi"
    assert vm.screen.lines[1] == "█"
    assert vm.screen.lines[24] == " " * 79 + "!"


def test_the_cursor_is_where_the_crt_controller_has_it(vm):
    vm.run_for(10_000)
    assert vm.screen.cursor == (1, 1)


def test_the_screen_begins_where_the_crt_controller_says(vm):
    vm.run_for(10_000)
    vm.io.write(0x3D4, 2, 80 << 8 | 0x0D)
    assert vm.screen.lines[0] == "█"


def test_an_untouched_screen_is_empty():
    assert Pc(memory="16M").screen.text == ""
