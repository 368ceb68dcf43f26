"""What PyTorch calls the parameters of its modules, how they lie there, and which module is which layer here."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from deepbp.errors import ConfigurationError
from deepbp.layers import BatchNorm, Bilinear, Dense, Embedding, GroupNorm, Layer, LayerNorm, PReLU, RMSNorm
from deepbp.typing import Array

Turn: TypeAlias = Callable[[Array], Array]
"""Brings an array from the way it lies in PyTorch to the way it lies here."""

Translation: TypeAlias = Mapping[str, tuple[str, Turn]]
"""PyTorch's names of a module's arrays to the names here."""


def as_it_is(array: Array) -> Array:
    """Lies the same in both."""
    return array


def transposed(array: Array) -> Array:
    """PyTorch's Linear computes x Wᵀ + b, with W of shape (outputs, inputs)."""
    return array.T


def outputs_last(array: Array) -> Array:
    """PyTorch's Bilinear has its outputs along the first axis of its weights, (O, I, J)."""
    return array.transpose(*range(1, array.ndim), 0) if array.ndim else array


NORMALISATION: Translation = {"weight": ("gain", as_it_is), "bias": ("shift", as_it_is)}
AVERAGES: Translation = {name: (name.replace("var", "variance"), as_it_is) for name in ("running_mean", "running_var")}
TRANSLATIONS: dict[type[Layer[Any]], Translation] = {
    Dense: {"weight": ("weight", transposed), "bias": ("bias", as_it_is)},
    Bilinear: {"weight": ("weight", outputs_last), "bias": ("bias", as_it_is)},
    Embedding: {"weight": ("table", as_it_is)},
    PReLU: {"weight": ("slope", as_it_is)},
    BatchNorm: {**NORMALISATION, **AVERAGES},
    LayerNorm: NORMALISATION,
    GroupNorm: NORMALISATION,
    RMSNorm: NORMALISATION,
}
COUNTER = "num_batches_tracked"  # of a BatchNorm there, which nothing here needs


def translation(layer: Layer[Any]) -> Translation:
    """Of the arrays of this layer; empty for one that PyTorch does not have."""
    return next((found for cls, found in TRANSLATIONS.items() if isinstance(layer, cls)), {})


def paired(modules: Iterable[str], layers: Iterable[str]) -> dict[str, str]:
    """Which module with parameters is which layer: of the same name, or in order where only numbers differ.

    Raises ConfigurationError where that cannot be told: a file does not keep the order of its modules.
    """
    modules, layers = list(modules), list(layers)
    if set(modules) <= set(layers):
        return {module: module for module in modules}
    if len(modules) != len(layers) or len({re.sub(r"\d+", "0", module) for module in modules}) > 1:
        raise ConfigurationError(
            f"names: which of the modules {modules} is which of the layers {layers} cannot be told: say it, with "
            f"names={{{modules[0]!r}: {layers[0] if layers else '0'!r}, ...}}"
        )
    return dict(zip(sorted(modules, key=_by_number), layers, strict=True))


def _by_number(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]
