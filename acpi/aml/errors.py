"""What goes wrong with AML: every error says where, as table, byte offset and method where these are known."""

from __future__ import annotations


class AmlError(ValueError):
    """AML that cannot be read or run."""

    place: str | None = None

    def located(self, place: str) -> AmlError:
        """The same error with the place where it happened, unless it has one already."""
        if self.place is None:
            self.place = place
        return self

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.place is None else f"{text} ({self.place})"


class UnknownOpcode(AmlError):
    """A byte (or two, after 5Bh) that is no opcode, or none that this package knows."""

    def __init__(self, code: int, offset: int, where: str) -> None:
        super().__init__(f"unknown opcode {code:02X}h at offset {offset:#x} {where}")
        self.code, self.offset = code, offset


class Fatal(AmlError):
    """The Fatal operator ran: `kind`, `code` and `argument` are what the firmware's author gave."""

    def __init__(self, kind: int, code: int, argument: int) -> None:
        super().__init__(f"Fatal ({kind:#x}, {code:#x}, {argument:#x})")
        self.kind, self.code, self.argument = kind, code, argument
