"""JSON values out of a byte stream that may be split, concatenated or wrong at any point.

RFC 8259 plus what QMP clients rely on: single-quoted strings, a byte 0xFF that throws away whatever was begun, and
QEMU's wording of syntax errors.  Sizes are bounded, so that a client can neither exhaust memory nor the stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_TOKEN_BYTES = 8 << 20  # all tokens of one value together
MAX_TOKENS = 1 << 17
MAX_NESTING = 1 << 10


@dataclass(frozen=True)
class SyntaxProblem:
    """What feed() yields in place of a value that could not be read."""

    text: str


class _Syntax(Exception):
    pass


# -- lexer: one step a byte; a state maps byte classes to the next state -------------------------------------------

START, RECOVERY, KEYWORD, SIGN, ZERO, DIGITS, POINT, FRACTION = range(8)
EXP, EXP_SIGN, EXP_DIGITS, DQ, SQ, DQ_ESC, SQ_ESC = range(8, 15)
NUMBER_STATES = (ZERO, DIGITS, FRACTION, EXP_DIGITS)
WHITESPACE, STRUCTURAL, DIGIT = b" \t\r\n", b"{}[]:,", b"0123456789"
LETTERS = bytes(range(ord("a"), ord("z") + 1))
IN_STRING = bytes(range(0x20, 0xFE))
RESYNC = bytes(range(0x20)) + b"\xfe\xff" + STRUCTURAL  # bytes that end the recovery after an error


def _table() -> list[dict[int, int]]:
    edges: list[tuple[int, bytes, int]] = [
        (START, LETTERS, KEYWORD), (START, b"-", SIGN), (START, b"0", ZERO), (START, b"123456789", DIGITS),
        (START, b'"', DQ), (START, b"'", SQ), (KEYWORD, LETTERS, KEYWORD),
        (SIGN, b"0", ZERO), (SIGN, b"123456789", DIGITS), (DIGITS, DIGIT, DIGITS),
        (ZERO, b".", POINT), (DIGITS, b".", POINT), (POINT, DIGIT, FRACTION), (FRACTION, DIGIT, FRACTION),
        (ZERO, b"eE", EXP), (DIGITS, b"eE", EXP), (FRACTION, b"eE", EXP),
        (EXP, b"+-", EXP_SIGN), (EXP, DIGIT, EXP_DIGITS), (EXP_SIGN, DIGIT, EXP_DIGITS),
        (EXP_DIGITS, DIGIT, EXP_DIGITS),
        (DQ, IN_STRING, DQ), (SQ, IN_STRING, SQ), (DQ, b"\\", DQ_ESC), (SQ, b"\\", SQ_ESC),
        (DQ_ESC, IN_STRING, DQ), (SQ_ESC, IN_STRING, SQ)]  # fmt: skip
    table: list[dict[int, int]] = [{} for _ in range(SQ_ESC + 1)]
    for state, characters, following in edges:
        table[state].update(dict.fromkeys(characters, following))
    return table


TABLE = _table()
CLOSING = {DQ: ord('"'), SQ: ord("'")}
STRING_RUN = re.compile(rb"[ !#-&(-\[\]-\xfd]+")
RUNS = {DQ: STRING_RUN, SQ: STRING_RUN, KEYWORD: re.compile(rb"[a-z]+"), DIGITS: re.compile(rb"[0-9]+"),
        FRACTION: re.compile(rb"[0-9]+")}  # bytes that cannot change the state
SKIPPED_RUNS = {START: re.compile(rb"[ \t\r\n]+"), RECOVERY: re.compile(b"[^" + re.escape(RESYNC) + b"]+")}
SHOWN = 80  # bytes of a wrong token that an error message repeats


class JsonStream:
    """feed() it bytes, iterate over the complete values and SyntaxProblems in them."""

    def __init__(self) -> None:
        self._state, self._token = START, bytearray()
        self._forget()

    def _forget(self) -> None:
        self._tokens: list[tuple[str, bytes]] = []
        self._braces = self._brackets = self._bytes = 0

    def feed(self, data: bytes) -> Iterator[Any]:
        """Consume `data`; yields values (dict, list, str, int, float, bool, None) and SyntaxProblems in order."""
        position = 0
        while position < len(data):
            position = self._skip(data, position)
            if self._bytes + len(self._token) > MAX_TOKEN_BYTES:
                yield self._problem("JSON token size limit exceeded")
            if position == len(data):
                return
            consumed, token = self._step(data[position])
            position += consumed
            if token:
                yield from self._accept(*token)

    def _skip(self, data: bytes, position: int) -> int:
        """Take a run of bytes that leave the state as it is; the position after it."""
        if self._state in SKIPPED_RUNS:
            skipped = SKIPPED_RUNS[self._state].match(data, position)
            return skipped.end() if skipped else position
        run = RUNS[self._state].match(data, position) if self._state in RUNS else None
        if run is None:
            return position
        self._token += run[0]
        return run.end()

    def _step(self, byte: int) -> tuple[int, tuple[str, bytes] | None]:
        """Advance by one byte: bytes consumed (0: look at it again) and the token that ended here, if any."""
        state = self._state
        if state == RECOVERY:
            if byte not in RESYNC:
                return 1, None
            self._state = START
            return 0, None
        if state == START and (byte in WHITESPACE or byte in STRUCTURAL):
            return 1, (chr(byte), b"") if byte in STRUCTURAL else None
        if byte == CLOSING.get(state):
            return 1, self._end("string")
        following = TABLE[state].get(byte)
        if following is not None:
            self._state = following
            self._token.append(byte)
            return 1, None
        if state == KEYWORD or (state in NUMBER_STATES and not (state == ZERO and byte in DIGIT)):
            return 0, self._end("keyword" if state == KEYWORD else "number")
        self._token.append(byte)
        token = self._end("error")
        self._state = RECOVERY
        return 1, token

    def _end(self, kind: str) -> tuple[str, bytes]:
        token = kind, bytes(self._token)
        self._token.clear()
        self._state = START
        return token

    def _accept(self, kind: str, text: bytes) -> Iterator[Any]:
        if kind == "error":
            yield self._problem(f"JSON parse error, stray '{_shown(text)}'", recover=True)
            return
        self._tokens.append((kind, text))
        self._bytes += len(text)
        self._braces += (kind == "{") - (kind == "}")
        self._brackets += (kind == "[") - (kind == "]")
        if self._bytes > MAX_TOKEN_BYTES or len(self._tokens) > MAX_TOKENS:
            yield self._problem(f"JSON token {'size' if self._bytes > MAX_TOKEN_BYTES else 'count'} limit exceeded")
        elif self._braces + self._brackets > MAX_NESTING:
            yield self._problem("JSON nesting depth limit exceeded")
        elif not ((self._braces > 0 or self._brackets > 0) and self._braces >= 0 and self._brackets >= 0):
            tokens = self._tokens
            self._forget()
            try:
                yield _parse(tokens)
            except _Syntax as problem:
                yield SyntaxProblem(f"JSON parse error, {problem}")

    def _problem(self, text: str, recover: bool = False) -> SyntaxProblem:
        """Forget the value; after one that is too large, its rest is passed over (`recover`: the lexer does that itself)."""
        self._forget()
        if not recover:
            self._token.clear()
            self._state = RECOVERY
        return SyntaxProblem(text)


def _shown(token: bytes) -> str:
    return token[:SHOWN].decode("utf-8", "replace").partition("\0")[0]


# -- parser: tokens of one value, without recursion ----------------------------------------------------------------

KEYWORDS = {b"true": True, b"false": False, b"null": None}
ESCAPES = {ord(k): v for k, v in {'"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r",
                                  "t": "\t"}.items()}  # fmt: skip
NO_KEY = object()


def _parse(tokens: list[tuple[str, bytes]]) -> Any:
    """The value that the tokens spell.  Raises _Syntax."""
    return _Parser(tokens).value()


class _Parser:
    def __init__(self, tokens: list[tuple[str, bytes]]):
        self.tokens, self.position = tokens, 0

    def take(self) -> tuple[str, bytes]:
        if self.position == len(self.tokens):
            raise _Syntax("premature EOI")
        self.position += 1
        return self.tokens[self.position - 1]

    def take_if(self, kind: str) -> bool:
        matches = self.position < len(self.tokens) and self.tokens[self.position][0] == kind
        self.position += matches
        return matches

    def value(self) -> Any:
        stack: list[list[Any]] = []  # open containers, each with the key whose value is awaited
        while True:
            value = self.scalar_or_empty()
            if isinstance(value, (dict, list)) and not self.take_if("}" if isinstance(value, dict) else "]"):
                stack.append([value, NO_KEY])
                continue
            while stack and not self.wants_more(stack[-1], value):
                value = stack.pop()[0]
            if not stack:
                return value

    def scalar_or_empty(self) -> Any:
        kind, text = self.take()
        if kind == "string":
            return _unescape(text[1:])
        if kind == "number":
            return _number(text)
        if kind == "keyword":
            if text not in KEYWORDS:
                raise _Syntax(f"invalid keyword '{_shown(text)}'")
            return KEYWORDS[text]
        if kind not in "{[":
            raise _Syntax("expecting value")
        return {} if kind == "{" else []

    def wants_more(self, frame: list[Any], value: Any) -> bool:
        """Put `value` where the innermost container waits for it; False when that completes the container."""
        container, key = frame
        if isinstance(container, dict) and key is NO_KEY:
            if not isinstance(value, str):
                raise _Syntax("key is not a string in object")
            if not self.take_if(":"):
                raise _Syntax("missing : in object pair")
            frame[1] = value
            return True
        if isinstance(container, list):
            container.append(value)
        elif key in container:
            raise _Syntax("duplicate key")
        else:
            container[key], frame[1] = value, NO_KEY
        kind, _ = self.take()
        if kind not in (",", "]" if isinstance(container, list) else "}"):
            raise _Syntax(f"expected separator in {'list' if isinstance(container, list) else 'dict'}")
        return kind == ","


def _number(text: bytes) -> int | float:
    if not text.lstrip(b"-").isdigit():
        return float(text)
    number = int(text) if len(text) <= 20 else None
    return number if number is not None and -(1 << 63) <= number < 1 << 64 else float(text)


ESCAPE = re.compile(rb"\\(u[0-9a-fA-F]{4}|u.{0,4}|.)", re.DOTALL)


def _unescape(raw: bytes) -> str:
    """The text of a string token without its quotes.  Surrogate pairs join; lone ones are errors."""
    parts: list[str] = []
    position = 0
    high = 0
    for escape in ESCAPE.finditer(raw):
        if high and escape.start() != position:
            raise _not_unicode(high)
        parts.append(_decode(raw[position : escape.start()]))
        text, high = _escape(escape[1], high)
        parts.append(text)
        position = escape.end()
    if high:
        raise _not_unicode(high)
    return "".join(parts) + _decode(raw[position:])


def _not_unicode(code: int) -> _Syntax:
    return _Syntax(f"\\u{code:04x} is not a valid Unicode character")


def _escape(body: bytes, high: int) -> tuple[str, int]:
    """The character of one escape sequence, or a high surrogate that waits for its other half."""
    if not body.startswith(b"u"):
        if high:
            raise _not_unicode(high)
        if body[0] not in ESCAPES:
            raise _Syntax("invalid escape sequence in string")
        return ESCAPES[body[0]], 0
    if len(body) < 5 or not re.fullmatch(rb"[0-9a-fA-F]{4}", body[1:5]):
        raise _Syntax(f"\\{body.decode('utf-8', 'replace')} is not a valid Unicode character")
    code = int(body[1:5], 16)
    if high:
        if not 0xDC00 <= code < 0xE000:
            raise _not_unicode(high)
        return chr(0x10000 + ((high - 0xD800) << 10) + code - 0xDC00), 0
    if 0xD800 <= code < 0xDC00:
        return "", code
    if 0xDC00 <= code < 0xE000:
        raise _not_unicode(code)
    return chr(code), 0


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _Syntax("invalid UTF-8 sequence in string") from None
