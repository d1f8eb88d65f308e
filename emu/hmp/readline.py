"""A line being typed at a VT100 terminal: cursor, deletion, history, completion.

Keys are those of the usual shells: arrows, Home, End, Delete, Ctrl-A B C D E F K L N P U W, Tab.  What is sent needs nothing of
the terminal but backspace, so that plain pipes see plain text.  Not here: search in the history, undo; a character of several
bytes counts as several.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

HISTORY = 64  # lines
LINE_LIMIT = 4096  # bytes
SCREEN_WIDTH = 79  # columns for the list of completions
ESCAPE, CSI, SS3 = 0x1B, ord("["), ord("O")
LONGEST_SEQUENCE = 8  # bytes after the escape


@dataclass
class Completion:
    """What the text before the cursor can go on with: candidates replace its last `length` characters."""

    length: int = 0
    candidates: list[str] = field(default_factory=list)


class LineEditor:
    """feed() it bytes and get lines.  `send` shows, `complete` proposes; `history` may be read by others."""

    def __init__(self, send: Callable[[bytes], None], prompt: str, complete: Callable[[str], Completion], history: list[str]):
        self._send, self._prompt, self._complete, self._history = send, prompt, complete, history
        self._line = bytearray()
        self._cursor = 0
        self._position = 0  # in the history
        self._sequence: bytearray | None = None  # bytes after an escape
        self._after_return = False

    def show_prompt(self) -> None:
        """Begin a line."""
        self._send(self._prompt.encode() + bytes(self._line) + b"\b" * (len(self._line) - self._cursor))

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that `data` ends."""
        for byte in data:
            newline_of_pair = byte == ord("\n") and self._after_return
            self._after_return = byte == ord("\r")
            if self._sequence is not None:
                self._continue_sequence(byte)
            elif byte in b"\r\n":
                if not newline_of_pair:
                    yield self._finish()
            elif byte == ESCAPE:
                self._sequence = bytearray()
            elif byte in CONTROLS:
                CONTROLS[byte](self)
            elif byte >= 0x20:
                self._insert(bytes([byte]))

    def _continue_sequence(self, byte: int) -> None:
        assert self._sequence is not None
        self._sequence.append(byte)
        introducer = len(self._sequence) == 1 and byte in (CSI, SS3)
        if introducer or (self._sequence[0] == CSI and not 0x40 <= byte < 0x7F and len(self._sequence) < LONGEST_SEQUENCE):
            return
        sequence, self._sequence = bytes(self._sequence).replace(b"O", b"["), None
        if sequence in SEQUENCES:
            SEQUENCES[sequence](self)

    def _finish(self) -> str:
        line = self._line.decode("utf-8", "replace")
        self._line.clear()
        self._cursor = 0
        self._send(b"\r\n")
        if line.strip():
            self._history[:] = [*(old for old in self._history if old != line), line][-HISTORY:]
        self._position = len(self._history)
        return line

    # --- changes
    def _insert(self, text: bytes) -> None:
        text = text[: LINE_LIMIT - len(self._line)]
        tail = bytes(self._line[self._cursor :])
        self._line[self._cursor : self._cursor] = text
        self._cursor += len(text)
        self._send(text + tail + b"\b" * len(tail))

    def _delete(self, start: int, end: int) -> None:
        """Take out the characters from `start` to `end`, and put the cursor there."""
        self._move(start - self._cursor)
        tail, gap = bytes(self._line[end:]), end - start
        del self._line[start:end]
        self._send(tail + b" " * gap + b"\b" * (gap + len(tail)))

    def _replace(self, line: bytes) -> None:
        self._delete(0, len(self._line))
        self._insert(line)

    def _move(self, step: int) -> None:
        target = max(0, min(len(self._line), self._cursor + step))
        self._send(b"\b" * (self._cursor - target) or bytes(self._line[self._cursor : target]))
        self._cursor = target

    # --- keys
    def start(self) -> None:
        self._move(-self._cursor)

    def end(self) -> None:
        self._move(len(self._line) - self._cursor)

    def left(self) -> None:
        self._move(-1)

    def right(self) -> None:
        self._move(1)

    def delete(self) -> None:
        self._delete(self._cursor, min(self._cursor + 1, len(self._line)))

    def erase(self) -> None:
        self._delete(max(0, self._cursor - 1), self._cursor)

    def erase_word(self) -> None:
        before = bytes(self._line[: self._cursor]).rstrip()
        self._delete(before.rfind(b" ") + 1, self._cursor)

    def kill_to_end(self) -> None:
        self._delete(self._cursor, len(self._line))

    def kill_line(self) -> None:
        self._delete(0, len(self._line))

    def redraw(self) -> None:
        self._send(b"\x1b[2J\x1b[H")
        self.show_prompt()

    def earlier(self) -> None:
        self._recall(-1)

    def later(self) -> None:
        self._recall(1)

    def _recall(self, step: int) -> None:
        self._position = max(0, min(len(self._history), self._position + step))
        self._replace(self._history[self._position].encode() if self._position < len(self._history) else b"")

    def complete(self) -> None:
        """Tab: put in what all candidates have in common; if that is nothing new, show them."""
        found = self._complete(self._line[: self._cursor].decode("utf-8", "replace"))
        common = os.path.commonprefix(found.candidates)
        if len(found.candidates) == 1 and common[-1:] not in ("/", "=", ","):
            common += " "
        if len(common) > found.length:
            self._insert(common[found.length :].encode())
        elif len(found.candidates) > 1:
            self._send(b"\r\n" + columns(found.candidates).encode())
            self.show_prompt()


def columns(words: list[str]) -> str:
    """Words side by side, in rows that end with CR LF."""
    width = max(map(len, words)) + 2
    per_row = max(1, SCREEN_WIDTH // width)
    rows = (words[at : at + per_row] for at in range(0, len(words), per_row))
    return "".join("".join(word.ljust(width) for word in row).rstrip() + "\r\n" for row in rows)


Key = Callable[[LineEditor], None]


def _control(letter: str) -> int:
    return ord(letter) - 0x40


CONTROLS: dict[int, Key] = {
    _control("A"): LineEditor.start, _control("B"): LineEditor.left, _control("C"): LineEditor.kill_line,
    _control("D"): LineEditor.delete, _control("E"): LineEditor.end, _control("F"): LineEditor.right,
    _control("H"): LineEditor.erase, 0x7F: LineEditor.erase, _control("I"): LineEditor.complete,
    _control("K"): LineEditor.kill_to_end, _control("L"): LineEditor.redraw, _control("N"): LineEditor.later,
    _control("P"): LineEditor.earlier, _control("U"): LineEditor.kill_line, _control("W"): LineEditor.erase_word,
}  # fmt: skip
SEQUENCES: dict[bytes, Key] = {
    b"[A": LineEditor.earlier, b"[B": LineEditor.later, b"[C": LineEditor.right, b"[D": LineEditor.left,
    b"[H": LineEditor.start, b"[F": LineEditor.end, b"[1~": LineEditor.start, b"[4~": LineEditor.end,
    b"[7~": LineEditor.start, b"[8~": LineEditor.end, b"[3~": LineEditor.delete,
}  # fmt: skip
