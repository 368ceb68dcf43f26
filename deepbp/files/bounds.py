"""How much a short description unrolls to: layers within layers, and layers that run again and again."""

from typing import Any

from attrs import define, field

from deepbp.errors import FileFormatError
from deepbp.layers import Repeat

DEEPEST = 100
MOST_OBJECTS = 50_000  # unrolled: a layer, and what it is made of, counts as often as it runs


@define(eq=False)
class Bounds:
    """Keeps count of objects, which refer to earlier ones, before they are made."""

    _depths: list[int] = field(factory=list)
    _counts: list[int] = field(factory=list)

    def add(self, cls: type, arguments: dict[str, Any]) -> None:
        """Count one more object. Raises FileFormatError where it would be too much, or refers to no earlier one."""
        inside = self._references(list(arguments.values()))
        depth = 1 + max((self._depths[position] for position in inside), default=0)
        count = 1 + sum(self._counts[position] for position in inside)
        if issubclass(cls, Repeat) and isinstance(arguments.get("times"), int):
            count *= max(arguments["times"], 1)
        if depth > DEEPEST:
            raise FileFormatError(f"expected layers within layers to a depth of at most {DEEPEST}, got {depth}")
        if count > MOST_OBJECTS:
            raise FileFormatError(f"expected at most {MOST_OBJECTS:,} layers and their parts, got {count:,}")
        self._depths.append(depth)
        self._counts.append(count)

    def _references(self, value: Any) -> list[int]:
        if isinstance(value, dict) and value.keys() == {"object"}:
            position = value["object"]
            if type(position) is not int or not 0 <= position < len(self._counts):
                raise FileFormatError(f"expected the position of an earlier object, got {position!r:.100}")
            return [position]
        items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
        return [position for item in items for position in self._references(item)]
