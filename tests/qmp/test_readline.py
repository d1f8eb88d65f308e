"""The human monitor's line editor on a small terminal, and what Tab proposes."""

from __future__ import annotations

import pytest

from emu.hmp import HumanMonitor
from emu.hmp.completion import complete
from emu.hmp.readline import HISTORY, Completion, LineEditor, columns
from emu.qmp import Context

UP, DOWN, RIGHT, LEFT = b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D"
HOME, END, DELETE = b"\x1b[H", b"\x1b[F", b"\x1b[3~"


class Screen:
    """A terminal that knows backspace, CR and LF."""

    def __init__(self):
        self.lines, self.column = [""], 0

    def show(self, data: bytes) -> None:
        for character in data.decode():
            if character == "\b":
                self.column -= 1
            elif character == "\r":
                self.column = 0
            elif character == "\n":
                self.lines.append("")
            else:
                line = self.lines[-1]
                self.lines[-1] = line[: self.column] + character + line[self.column + 1 :]
                self.column += 1


class Typist:
    """Somebody at an editor whose words complete to `words`."""

    def __init__(self, *words: str):
        self.screen, self.lines, self.history = Screen(), [], []
        self.words = words
        self.editor = LineEditor(self.screen.show, "> ", self.complete, self.history)
        self.editor.show_prompt()

    def complete(self, text: str) -> Completion:
        fragment = text.split(" ")[-1]
        return Completion(len(fragment), [word for word in self.words if word.startswith(fragment)])

    def type(self, data: bytes) -> str:
        """The line on the screen afterwards, with the cursor shown as a bar."""
        for line in self.editor.feed(data):
            self.lines.append(line)
            self.editor.show_prompt()
        line, column = self.screen.lines[-1], self.screen.column
        return line[:column] + "|" + line[column:].rstrip()


@pytest.mark.parametrize("keys, shown", [
    (b"abc", "> abc|"), (b"abc" + LEFT, "> ab|c"), (b"abc" + LEFT * 9, "> |abc"), (b"abc" + LEFT * 2 + RIGHT, "> ab|c"),
    (b"abc" + HOME + b"x", "> x|abc"), (b"abc" + HOME + END + b"x", "> abcx|"), (b"abc" + LEFT + b"x", "> abx|c"),
    (b"abc\x7f", "> ab|"), (b"abc\x08", "> ab|"), (b"abc" + LEFT + b"\x7f", "> a|c"), (b"\x7f", "> |"),
    (b"abc" + HOME + DELETE, "> |bc"), (b"abc" + DELETE, "> abc|"), (b"abc" + HOME + b"\x04", "> |bc"),
    (b"a b c\x17", "> a b |"), (b"a b  \x17", "> a |"), (b"abc" + LEFT + b"\x0b", "> ab|"), (b"abc\x15", "> |"), (b"abc\x03", "> |"),
    (b"abc\x01x\x05y", "> xabcy|"), (b"abc\x02\x02\x06x", "> abx|c"), (b"abc\x1b[1~x\x1b[4~y", "> xabcy|"),
    (b"abc\x1bOHx\x1bOFy", "> xabcy|"), (b"ab\x1b[5;3Xc", "> abc|"), (b"ab\x1b[999999999c", "> ab99c|"), (b"ab\x1bzc", "> abc|"),
    (b"\x00\x1fabc", "> abc|"),
])  # fmt: skip
def test_keys_edit_the_line(keys, shown):
    assert Typist().type(keys) == shown


@pytest.mark.parametrize("ending", [b"\r", b"\n", b"\r\n"])
def test_line_ends_once(ending):
    typist = Typist()
    assert typist.type(b"one" + ending + b"two" + ending) == "> |" and typist.lines == ["one", "two"]


def test_keys_may_arrive_byte_by_byte():
    typist = Typist()
    for byte in b"abc" + LEFT + b"x\r":
        typist.type(bytes([byte]))
    assert typist.lines == ["abxc"]


def test_history_goes_up_and_down_and_ends_empty():
    typist = Typist()
    typist.type(b"one\rtwo\r")
    assert [typist.type(key) for key in (UP, UP, UP, DOWN, DOWN, b"\x10", b"\x10", b"\x0e")] == [
        "> two|", "> one|", "> one|", "> two|", "> |", "> two|", "> one|", "> two|"]  # fmt: skip


def test_history_keeps_a_repeated_line_once_and_no_empty_ones():
    typist = Typist()
    typist.type(b"one\rtwo\rone\r\r  \r")
    assert typist.history == ["two", "one"]


def test_history_and_lines_have_limits():
    typist = Typist()
    typist.type(b"".join(b"%d\r" % number for number in range(HISTORY + 10)))
    assert len(typist.history) == HISTORY and typist.history[0] == "10"
    typist.type(b"x" * 100_000 + b"\r")
    assert len(typist.lines[-1]) == 4096


def test_only_candidate_is_put_in_with_a_blank():
    assert Typist("info", "stop").type(b"i\t") == "> info |"


def test_candidate_that_goes_on_gets_no_blank():
    assert Typist("/machine/").type(b"x /m\t") == "> x /machine/|"


def test_common_beginning_is_put_in_and_choices_are_shown_then():
    typist = Typist("system_reset", "system_powerdown")
    assert typist.type(b"s\t") == "> system_|"
    assert typist.type(b"\t") == "> system_|" and typist.screen.lines[-2] == "system_reset      system_powerdown"


def test_completion_works_before_the_cursor():
    assert Typist("info").type(b"i x" + LEFT * 2 + b"\t") == "> info | x"


def test_nothing_to_propose_changes_nothing():
    assert Typist().type(b"x\t") == "> x|"


def test_choices_are_shown_in_columns():
    rows = columns([f"word{number:02}" for number in range(20)]).splitlines()
    assert len(rows) == 3 and all(len(row) < 80 for row in rows)


# -- what is proposed


@pytest.mark.parametrize("text, candidates", [
    ("qu", ["quit"]), ("sys", ["system_powerdown", "system_reset", "system_wakeup"]), ("nope", []), ("quit ", []),
    ("info nu", ["numa"]), ("help cpu_", ["cpu_set"]), ("? info", ["info"]), ("help info nam", ["name"]),
    ("device_add qemu6", ["qemu64-v1-x86_64-cpu", "qemu64-x86_64-cpu"]), ("device_add qemu64-x86_64-cpu,soc", ["socket-id="]),
    ("device_add qemu64-x86_64-cpu,socket-id=", ["1", "2"]), ("device_add qemu64-x86_64-cpu,avx=o", ["off", "on"]),
    ("device_add qemu64-x86_64-cpu,avx=on,sock", ["socket-id="]), ("device_add nope,x", []), ("device_del ", ["c9"]),
    ("device_del /machine/per", ["/machine/peripheral-anon", "/machine/peripheral/"]),
    ("device_del /machine/peripheral/", ["/machine/peripheral/c9/"]), ("cpu ", ["0", "3"]), ("cpu-add ", ["1", "2"]),
    ("cpu_set ", ["0", "1", "2", "3"]), ("cpu_set 1 of", ["offline"]), ("sendkey ctrl-f1", ["f1", "f10", "f11", "f12"]),
    ("log guest_errors,uni", ["unimp"]), ("qom-list /mach", ["/machine/"]), ("qom-get /machine/peripheral/c9 apic", ["apic", "apic-id"]),
    ("qom-set /machine graphics t", ["true"]), ("qom-get /nope x", []), ("qom-list /nope/x", []), ("info qom-tree /m", ["/machine/"]),
    ("object_del ", []), ("  inf", ["info"]), ("device_add  qemu32-x", ["qemu32-x86_64-cpu"]),
])  # fmt: skip
def test_proposals(machine, text, candidates):
    machine.device_add("qemu64-x86_64-cpu", "c9", {"apic-id": 3})
    assert complete(HumanMonitor(Context(machine)), text).candidates == candidates
