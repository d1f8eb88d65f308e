"""The ACPI namespace: objects by path, and the search for a name (ACPI 6.5, section 5.3).

Not here: table ownership, so that tables cannot be unloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .errors import AmlError
from .names import Path, absolute, candidates, short, shown
from .opcodes import ObjectType
from .values import Container, Node

PREDEFINED = ("_GPE", "_PR_", "_SB_", "_SI_", "_TZ_")


class Namespace:
    def __init__(self) -> None:
        scope = Container(ObjectType.UNINITIALIZED)
        self.nodes: dict[Path, Node] = {}
        self._found: dict[tuple[str, Path], Node | None] = {}
        for path in ((), *((name,) for name in PREDEFINED)):
            self.add(path, scope)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __contains__(self, path: str) -> bool:
        return absolute(path, ()) in self.nodes

    def __getitem__(self, path: str) -> Node:
        """The node at an absolute path such as `\\_SB.CPUS`.  Raises AmlError."""
        return self.find(path, ())

    def add(self, path: Path, obj: Any) -> Node:
        """Put an object in its place.  Raises AmlError if there is one already, or nothing to put it in."""
        if path in self.nodes:
            raise AmlError(f"{shown(path)} exists already")
        if path and path[:-1] not in self.nodes:
            raise AmlError(f"{shown(path)} cannot be made: there is no {shown(path[:-1])}")
        node = self.nodes[path] = Node(path, obj)
        self._found.clear()
        return node

    def alias(self, path: Path, node: Node) -> None:
        """Another name of the same object."""
        if path in self.nodes:
            raise AmlError(f"{shown(path)} exists already")
        self.nodes[path] = node
        self._found.clear()

    def remove(self, node: Node) -> None:
        self.nodes.pop(node.path, None)
        self._found.clear()

    def lookup(self, name: str, scope: Path) -> Node | None:
        """What `name` means in `scope`."""
        key = name, scope
        if key not in self._found:
            self._found[key] = next((self.nodes[p] for p in candidates(name, scope) if p in self.nodes), None)
        return self._found[key]

    def find(self, name: str, scope: Path) -> Node:
        """The same; raises AmlError if there is nothing."""
        node = self.lookup(name, scope)
        if node is None:
            raise AmlError(f"{short(name)} is not in the namespace" + (f", seen from {shown(scope)}" if scope else ""))
        return node

    def child(self, node: Node, name: str) -> Node | None:
        """The object `name` (four characters) directly inside `node`."""
        return self.nodes.get((*node.path, name))

    def devices(self) -> list[Node]:
        """Devices and processors in the order of their declaration."""
        kinds = (ObjectType.DEVICE, ObjectType.PROCESSOR)
        return [node for node in self if isinstance(node.object, Container) and node.object.type in kinds]
