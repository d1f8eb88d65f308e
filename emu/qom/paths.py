"""Paths: absolute ones, and partial ones that name an object wherever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.qom.values import NotFound, ObjectError

if TYPE_CHECKING:
    from emu.qom.objects import Object


def resolve(root: Object, path: str) -> Object:
    """The object at an absolute path, or the only one whose path ends in the partial path `path`.

    Raises NotFound when there is none, ObjectError when a partial path fits several."""
    parts = [part for part in path.split("/") if part]
    if path.startswith("/"):
        matches = [_descend(root, parts)]
    else:
        matches = [_descend(start, parts) for start in root.walk()]
    found = {id(match): match for match in matches if match is not None}
    if len(found) > 1:
        raise ObjectError(f"Path '{path}' is ambiguous")
    if not found:
        raise NotFound(f"Device '{path}' not found")
    return next(iter(found.values()))


def _descend(start: Object, parts: list[str]) -> Object | None:
    for part in parts:
        following = start.children.get(part)
        if following is None:
            link = start.own_properties.get(part) or start.properties.get(part)
            following = link.follow(start) if link else None
        if following is None:
            return None
        start = following
    return start
