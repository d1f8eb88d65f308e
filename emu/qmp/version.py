"""Versions: our own, and the QEMU whose interfaces we speak."""

from __future__ import annotations

VERSION = "0.1.0"
PACKAGE = f"numachine {VERSION}"
QEMU_VERSION = (7, 2, 22)  # clients choose their behaviour by it
QEMU_VERSION_TEXT = ".".join(map(str, QEMU_VERSION))
QMP_VERSION = {"qemu": dict(zip(("major", "minor", "micro"), QEMU_VERSION, strict=True)), "package": PACKAGE}
