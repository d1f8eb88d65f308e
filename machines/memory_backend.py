"""-object memory-backend-ram: RAM as an object.  RAM is one mapping here, so that a backend is its size and its name.

A machine has one for all of its RAM, "pc.ram" unless -machine memory-backend= names another, or one for each NUMA node that asks.
Not here: files and memfds behind RAM, policies of host nodes.
"""

from __future__ import annotations

from collections.abc import Iterable

from emu import qom
from emu.cli.options import ObjectOption, OptionError
from emu.qom import Container, ObjectError, Property, convert

DEFAULT_BACKEND = "pc.ram"


class MemoryBackend(qom.Object):
    """What all memory backends have.  `size` is in bytes."""

    name = "memory-backend"
    abstract = True
    size = Property("size", 0)
    merge = Property("bool", True)
    dump = Property("bool", True)
    prealloc = Property("bool", False)
    share = Property("bool", False)
    reserve = Property("bool", True)
    policy = Property("HostMemPolicy", "default")


class MemoryBackendRam(MemoryBackend):
    """Anonymous memory."""

    name = "memory-backend-ram"
    user_object = True


def sizes(objects: Iterable[ObjectOption]) -> dict[str, int]:
    """Bytes of the memory backends among `objects`, by id.  Raises OptionError."""
    return {each.id: _size(each) for each in objects if each.type == MemoryBackendRam.name}


def _size(option: ObjectOption) -> int:
    if "size" not in option.properties:
        raise OptionError(f"-object {option.text}: Parameter 'size' is missing")
    try:
        return convert("size", option.properties["size"], "size")
    except ObjectError as error:
        raise OptionError(f"-object {option.text}: {error}") from None


def check(backend: str, memory: int, given: dict[str, int]) -> None:
    """Whether `backend`, "" for none in particular, can be the `memory` bytes of RAM.  Raises OptionError."""
    if not backend:
        if DEFAULT_BACKEND in given:
            raise OptionError(f"object name '{DEFAULT_BACKEND}' is reserved for the default RAM backend, it can't be used for any "
                              "other purposes. Change the object's 'id' to something else")  # fmt: skip
    elif backend not in given:
        raise OptionError(f"Memory backend '{backend}' not found")
    elif given[backend] != memory:
        raise OptionError("Machine memory size does not match the size of the memory backend")


def claim(objects: Container, memory: int, backend: str, of_nodes: Iterable[str]) -> MemoryBackend | None:
    """Take the backends that are in use; the one of all RAM, made here if it has no other, or None when nodes have their own."""
    named = [name for name in of_nodes if name]
    if not named and not backend:
        made = objects.add_child(DEFAULT_BACKEND, MemoryBackendRam())
        made.size = memory
    for name in named or [backend or DEFAULT_BACKEND]:
        objects.children[name].realized = True
    return None if named else objects.children[backend or DEFAULT_BACKEND]  # type: ignore[return-value]
