"""Which array of a file goes where in a network."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.files.parts import Part
from deepbp.files.pytorch import COUNTER, Turn, as_it_is, paired, translation
from deepbp.layers import Layer

Convention: TypeAlias = Literal["deepbp", "pytorch"]


class Target(NamedTuple):
    """The network's name of an array in a file, and how the array is to be turned."""

    name: str
    turn: Turn


def targets(
    found: Iterable[str], parts: Mapping[str, Part], network: Layer[Any], names: Any, convention: Convention
) -> dict[str, Target]:
    """Where each of the arrays that were found goes, by its name in the file.

    Raises:
        ArgumentTypeError: when ``names`` are no names by name.
        ConfigurationError: for names that are not there, and where two arrays would go to one place.
    """
    if convention not in ("deepbp", "pytorch"):
        raise ConfigurationError(f"convention: expected 'deepbp' or 'pytorch', got {convention!r}")
    layers: dict[str, Layer[Any]] = {"": network, **network.named_layers()}
    found = [name for name in found if convention == "deepbp" or _leaf(name) != COUNTER]
    if names is None and convention == "pytorch":
        owners = dict.fromkeys(_owner(name) for name in parts)
        names = paired(dict.fromkeys(map(_owner, found)), owners) if found else {}
    names = _checked(names or {}, found, layers, parts)
    made = {name: _target(name, names, layers, convention) for name in found}
    place, times = Counter(target.name for target in made.values()).most_common(1)[0] if made else ("", 0)
    if times > 1:
        raise ConfigurationError(f"names: {times} arrays would go to {place!r}")
    return made


def _target(name: str, names: Mapping[str, str], layers: Mapping[str, Layer[Any]], convention: Convention) -> Target:
    given = names.get(name)  # for this very array, or for a layer that it is inside of
    inside = next((owner for owner in _owners(name) if owner in names), None)
    renamed = given or (name if inside is None else f"{names[inside]}{name[len(inside) :]}".lstrip("."))
    if convention == "deepbp" or _owner(renamed) not in layers:
        return Target(renamed, as_it_is)
    own, turn = translation(layers[_owner(renamed)]).get(_leaf(name), (_leaf(name), as_it_is))
    return Target(given or f"{_owner(renamed)}.{own}".lstrip("."), turn)


def _checked(
    names: Any, found: list[str], layers: Mapping[str, Layer[Any]], parts: Mapping[str, Part]
) -> Mapping[str, str]:
    if not isinstance(names, Mapping) or not all(isinstance(one, str) for pair in names.items() for one in pair):
        raise ArgumentTypeError(f"names: expected the file's names to the network's, got {names!r}")
    known = {one for name in found for one in (name, *_owners(name))}
    for theirs, ours in names.items():
        if theirs not in known:
            raise ConfigurationError(f"names: the file has no {theirs!r}, only {', '.join(found)}")
        if ours not in (parts if theirs in found else layers):
            raise ConfigurationError(f"names: the network has no {ours!r}, only {', '.join(parts)}")
    return names


def _owners(name: str) -> Iterator[str]:
    """The layers that an array is inside of, from the inmost."""
    while name := _owner(name):
        yield name


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
