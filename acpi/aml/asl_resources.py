"""Resource templates as ASL (ACPI 6.5, sections 6.4 and 19.3.3): `resource_template(data)`.

Not here: GPIO, pin and serial bus connections, extended address spaces; a template with one stays a buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

INDENT = "    "
END_TAG = bytes((0x79, 0x00))
LARGE = 0x80
COMMENT_COLUMN = 20
SPACES = {0: "SystemMemory", 1: "SystemIO", 2: "PCI_Config", 3: "EmbeddedControl", 4: "SMBus", 0x7F: "FFixedHW"}
CACHING = ("NonCacheable", "Cacheable", "WriteCombining", "Prefetchable")
MEMORY_RANGES = ("AddressRangeMemory", "AddressRangeReserved", "AddressRangeACPI", "AddressRangeNVS")
IO_RANGES = {1: "NonISAOnlyRanges", 2: "ISAOnlyRanges", 3: "EntireRange"}
SHARING = ("Exclusive", "Shared", "ExclusiveAndWake", "SharedAndWake")
DMA_SPEEDS = ("Compatibility", "TypeA", "TypeB", "TypeF")
DMA_TRANSFERS = ("Transfer8", "Transfer8_16", "Transfer16")
FIXED_DMA_WIDTHS = ("Width8bit", "Width16bit", "Width32bit", "Width64bit", "Width128bit", "Width256bit")


class Unknown(Exception):
    """A descriptor that cannot be written in ASL, or not so that it comes out the same."""


def resource_template(data: bytes) -> str | None:
    """`ResourceTemplate () {...}`; None if the bytes are no template that ASL can say."""
    if len(data) <= len(END_TAG) or not data.endswith(END_TAG):
        return None
    try:
        lines, inside = [], False
        for tag, body in _descriptors(data):
            if inside and tag in (START_DEPENDENT, END_DEPENDENT):
                lines.append("}")
                inside = False
            lines += [INDENT * inside + line for line in WRITERS[tag](body).split("\n")]
            inside = inside or tag == START_DEPENDENT
        if inside:
            raise Unknown
    except (Unknown, KeyError, IndexError):
        return None
    return "ResourceTemplate ()\n{\n" + "\n".join(INDENT + line for line in lines) + "\n}"


def _descriptors(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, contents) of all but the end tag; small tags are without their length."""
    at, end = 0, len(data) - len(END_TAG)
    while at < end:
        tag, start = data[at], at + 1
        length = tag & 7
        if tag & LARGE:
            length, start = int.from_bytes(data[at + 1 : at + 3], "little"), at + 3
        at = start + length
        if at > end:
            raise Unknown
        yield (tag if tag & LARGE else tag & 0x78), data[start:at]


def _number(data: bytes, at: int, width: int) -> int:
    if at + width > len(data):
        raise Unknown
    return int.from_bytes(data[at : at + width], "little")


def _hex(value: int, width: int) -> str:
    return f"0x{value:0{2 * width}X}"


def _exactly(data: bytes, *lengths: int) -> None:
    if len(data) not in lengths:
        raise Unknown


def _bits(mask: int, count: int) -> str:
    return "{" + ",".join(str(n) for n in range(count) if mask >> n & 1) + "}"


# ---------------------------------------------------------------- small items

IRQ, DMA, START_DEPENDENT, END_DEPENDENT, IO, FIXED_IO, FIXED_DMA, VENDOR_SHORT = (
    0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50, 0x70,
)  # fmt: skip


def _irq(body: bytes) -> str:
    _exactly(body, 2, 3)
    lines = _bits(_number(body, 0, 2), 16)
    if len(body) == 2:
        return f"IRQNoFlags ()\n{INDENT}{lines}"
    flags = body[2]
    if flags & 0xC6:
        raise Unknown
    mode, polarity = ("Edge" if flags & 1 else "Level"), ("ActiveLow" if flags & 8 else "ActiveHigh")
    return f"IRQ ({mode}, {polarity}, {SHARING[flags >> 4 & 3]}, )\n{INDENT}{lines}"


def _dma(body: bytes) -> str:
    _exactly(body, 2)
    flags = body[1]
    if flags & 0x98:
        raise Unknown
    master = "BusMaster" if flags & 4 else "NotBusMaster"
    return f"DMA ({DMA_SPEEDS[flags >> 5]}, {master}, {DMA_TRANSFERS[flags & 3]}, )\n{INDENT}{_bits(body[0], 8)}"


def _start_dependent(body: bytes) -> str:
    _exactly(body, 0, 1)
    if not body:
        return "StartDependentFnNoPri ()\n{"
    return f"StartDependentFn (0x{body[0] & 3:02X}, 0x{body[0] >> 2 & 3:02X})\n{{"


def _end_dependent(body: bytes) -> str:
    _exactly(body, 0)
    return "EndDependentFn ()"


def _io(body: bytes) -> str:
    _exactly(body, 7)
    if body[0] > 1:
        raise Unknown
    rows = [(_number(body, 1, 2), 2, "Range Minimum"), (_number(body, 3, 2), 2, "Range Maximum")]
    rows += [(body[5], 1, "Alignment"), (body[6], 1, "Length")]
    return _rows(f"IO (Decode{16 if body[0] else 10},", rows, ")")


def _fixed_io(body: bytes) -> str:
    _exactly(body, 3)
    return _rows("FixedIO (", [(_number(body, 0, 2), 2, "Address"), (body[2], 1, "Length")], ")")


def _fixed_dma(body: bytes) -> str:
    _exactly(body, 5)
    return f"FixedDMA ({_hex(_number(body, 0, 2), 2)}, {_hex(_number(body, 2, 2), 2)}, {FIXED_DMA_WIDTHS[body[4]]}, )"


def _vendor(name: str) -> Callable[[bytes], str]:
    return lambda body: f"{name} ()\n{{\n{INDENT}" + ", ".join(_hex(byte, 1) for byte in body) + "\n}"


# ---------------------------------------------------------------- large items

MEMORY24, REGISTER, VENDOR_LONG, MEMORY32, MEMORY32_FIXED, DWORD_SPACE, WORD_SPACE, INTERRUPT, QWORD_SPACE = (
    0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A,
)  # fmt: skip


def _rows(head: str, rows: list[tuple[int, int, str]], tail: str) -> str:
    """Numbers below each other with what they are."""
    lines = [f"{_hex(value, width) + ',':<{COMMENT_COLUMN}}// {meaning}" for value, width, meaning in rows]
    return "\n".join([head, *(INDENT + line for line in lines), INDENT + tail])


def _writable(flags: int) -> str:
    if flags > 1:
        raise Unknown
    return "ReadWrite" if flags else "ReadOnly"


def _memory(name: str, width: int) -> Callable[[bytes], str]:
    meanings = ("Range Minimum", "Range Maximum", "Alignment", "Length")

    def write(body: bytes) -> str:
        _exactly(body, 1 + 4 * width)
        rows = [(_number(body, 1 + width * n, width), width, text) for n, text in enumerate(meanings)]
        return _rows(f"{name} ({_writable(body[0])},", rows, ")")

    return write


def _memory32_fixed(body: bytes) -> str:
    _exactly(body, 9)
    rows = [(_number(body, 1, 4), 4, "Address Base"), (_number(body, 5, 4), 4, "Address Length")]
    return _rows(f"Memory32Fixed ({_writable(body[0])},", rows, ")")


def _register(body: bytes) -> str:
    _exactly(body, 12)
    rows = [(body[1], 1, "Bit Width"), (body[2], 1, "Bit Offset"), (_number(body, 4, 8), 8, "Address")]
    if body[3]:
        rows.append((body[3], 1, "Access Size"))
    return _rows(f"Register ({SPACES[body[0]]},", rows, ")")


def _interrupt(body: bytes) -> str:
    if len(body) < 2 or len(body) != 2 + 4 * body[1] or body[0] & 0xE0:
        raise Unknown
    flags = body[0]
    words = [
        "ResourceConsumer" if flags & 1 else "ResourceProducer",
        "Edge" if flags & 2 else "Level",
        "ActiveLow" if flags & 4 else "ActiveHigh",
        SHARING[flags >> 3 & 3],
    ]
    numbers = "\n".join(f"{INDENT}{_hex(_number(body, 2 + 4 * n, 4), 4)}," for n in range(body[1]))
    return f"Interrupt ({', '.join(words)}, ,, )\n{{\n{numbers}\n}}"


def _address_space(prefix: str, width: int) -> Callable[[bytes], str]:
    meanings = ("Granularity", "Range Minimum", "Range Maximum", "Translation Offset", "Length")

    def write(body: bytes) -> str:
        _exactly(body, 3 + 5 * width)
        kind, general, specific = body[:3]
        if general & 0xF0:
            raise Unknown
        words = [
            "ResourceConsumer" if general & 1 else "ResourceProducer",
            "SubDecode" if general & 2 else "PosDecode",
            "MinFixed" if general & 4 else "MinNotFixed",
            "MaxFixed" if general & 8 else "MaxNotFixed",
        ]
        name, attributes, tail = SPACE_KINDS[kind](specific)
        if kind != 0:  # only memory has the decoding before the fixed ends
            words.append(words.pop(1))
        rows = [(_number(body, 3 + width * n, width), width, text) for n, text in enumerate(meanings)]
        return _rows(f"{prefix}{name} ({', '.join([*words, *attributes])},", rows, f",, {tail})")

    return write


def _memory_space(flags: int) -> tuple[str, list[str], str]:
    if flags & 0xC0:
        raise Unknown
    words = [CACHING[flags >> 1 & 3], "ReadWrite" if flags & 1 else "ReadOnly"]
    return "Memory", words, f", {MEMORY_RANGES[flags >> 3 & 3]}, {'TypeTranslation' if flags & 0x20 else 'TypeStatic'}"


def _io_space(flags: int) -> tuple[str, list[str], str]:
    if flags & 0xCC:
        raise Unknown
    translation = "TypeTranslation" if flags & 0x10 else "TypeStatic"
    return (
        "IO",
        [IO_RANGES[flags & 3]],
        f", {translation}, {'SparseTranslation' if flags & 0x20 else 'DenseTranslation'}",
    )


def _bus_space(flags: int) -> tuple[str, list[str], str]:
    if flags:
        raise Unknown
    return "BusNumber", [], ""


SPACE_KINDS: dict[int, Callable[[int], tuple[str, list[str], str]]] = {0: _memory_space, 1: _io_space, 2: _bus_space}

WRITERS: dict[int, Callable[[bytes], str]] = {
    IRQ: _irq,
    DMA: _dma,
    START_DEPENDENT: _start_dependent,
    END_DEPENDENT: _end_dependent,
    IO: _io,
    FIXED_IO: _fixed_io,
    FIXED_DMA: _fixed_dma,
    VENDOR_SHORT: _vendor("VendorShort"),
    MEMORY24: _memory("Memory24", 2),
    REGISTER: _register,
    VENDOR_LONG: _vendor("VendorLong"),
    MEMORY32: _memory("Memory32", 4),
    MEMORY32_FIXED: _memory32_fixed,
    DWORD_SPACE: _address_space("DWord", 4),
    WORD_SPACE: _address_space("Word", 2),
    INTERRUPT: _interrupt,
    QWORD_SPACE: _address_space("QWord", 8),
}
