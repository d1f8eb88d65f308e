"""Intel syntax to bytes by keystone, with a cache; raises AssemblyError with the text that was refused."""
from __future__ import annotations

from functools import cache, lru_cache

import keystone

_MODES = {16: keystone.KS_MODE_16, 32: keystone.KS_MODE_32, 64: keystone.KS_MODE_64}

# What keystone does not know, per mode.
_EXTRA = {"endbr64": "f3 0f 1e fa", "endbr32": "f3 0f 1e fb", "movsd": "a5", "rep movsd": "f3 a5"}
_OPERAND_SIZE_32 = {"movsd", "rep movsd"}       # need a prefix in 16-bit code


class AssemblyError(ValueError):
    """The assembler does not know this text."""


@cache
def _engine(mode: int) -> keystone.Ks:
    return keystone.Ks(keystone.KS_ARCH_X86, _MODES[mode])


@lru_cache(maxsize=200_000)
def assemble(text: str, mode: int = 64, address: int = 0) -> bytes:
    """Machine code of `text` (several statements separated by ';', or "hex" and bytes) in 16-, 32- or 64-bit mode."""
    if text.startswith("hex "):
        return bytes.fromhex(text[4:])
    if text in _EXTRA:
        prefix = b"\x66" if mode == 16 and text in _OPERAND_SIZE_32 else b""
        return prefix + bytes.fromhex(_EXTRA[text])
    try:
        encoding, _count = _engine(mode).asm(text, address)
    except keystone.KsError as error:
        raise AssemblyError(f"keystone cannot assemble {text!r} in {mode}-bit mode: {error}") from error
    if not encoding:
        raise AssemblyError(f"keystone made nothing of {text!r} in {mode}-bit mode; check the mnemonic and operands")
    return bytes(encoding)
