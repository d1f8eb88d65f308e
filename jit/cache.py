"""The user's cache folder: the runtime library, stencils and regions that were built once.

Entries are plain files named by a hash of everything they depend on, written beside their place and renamed, so that a
killed process leaves no half entry.  `NUMACHINE_CACHE` moves the folder.
"""
from __future__ import annotations

import hashlib
import os
import tempfile
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def folder() -> Path:
    root = os.environ.get("NUMACHINE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "numachine")
    return Path(root)


@lru_cache
def toolchain() -> str:
    """What generated code depends on besides its source: library versions and the host CPU."""
    import llvmlite.binding as llvm

    versions = []
    for package in ("numba", "llvmlite", "capstone", "numpy"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    return "; ".join([*versions, llvm.get_host_cpu_name(), llvm.get_default_triple()])


def key(*parts: str | bytes) -> str:
    digest = hashlib.sha256(toolchain().encode())
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:40]


def read(kind: str, name: str) -> bytes | None:
    try:
        return (folder() / kind / name).read_bytes()
    except OSError:
        return None


def write(kind: str, name: str, data: bytes) -> None:
    """Store an entry; a cache that cannot be written is only slower, so errors are ignored."""
    try:
        place = folder() / kind
        place.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, place / name)
    except OSError:
        pass
