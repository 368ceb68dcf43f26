"""Does it run at all: the class, the pair that forward returns, the shapes."""

from typing import Any

import numpy as np

from deepbp.errors import DeepBPError
from deepbp.layers.builder import check_class
from deepbp.testing.check import CheckFailure
from deepbp.testing.layers.case import LayerCase, Specimen
from deepbp.typing import Array


def class_keeps_the_rules(case: LayerCase) -> None:
    """An attrs class, ``@define(eq=False)``."""
    for layer in (case.prototype, *case.prototype.named_layers().values()):
        try:
            check_class(layer)
        except DeepBPError as error:
            raise CheckFailure(str(error)) from None


def forward_runs(case: LayerCase) -> None:
    """Build and forward run, and forward returns the pair (output, saved), with numbers in the output."""
    output = _forward(case.build(), case.x())[0]
    if not np.isfinite(output).all():
        place = [int(i) for i in np.argwhere(~np.isfinite(output))[0]]
        raise CheckFailure(
            f"forward: expected finite numbers for ordinary inputs, got {output[tuple(place)]} at output{place}: "
            "inputs=... says what the layer takes, if that is not any number"
        )


def output_shape_as_built(case: LayerCase) -> None:
    """The output has the shape that build promised."""
    specimen, x = case.build(), case.x()
    output = _forward(specimen, x)[0]
    expected = (len(x), *specimen.output_shape)
    if output.shape != expected:
        raise CheckFailure(
            f"build promised samples of shape {specimen.output_shape}, so an output of shape {expected} for "
            f"{len(x)} samples; forward returned shape {output.shape}: return the output's shape from build"
        )


def backward_runs(case: LayerCase) -> None:
    """Backward runs and returns the error signal, of the input's shape."""
    specimen, x = case.build(), case.x()
    _, saved = specimen.layer.forward(x)
    moved: Any = specimen.layer.backward(saved, specimen.delta(x, case.rng(10)))
    if not isinstance(moved, np.ndarray):
        raise CheckFailure(
            f"backward: expected the error signal moved one layer back, an array of the input's shape {x.shape}, "
            f"returned {moved!r}{': is a return missing?' if moved is None else ''}"
        )
    if moved.shape != x.shape:
        fix = ": it is transposed" if moved.shape == x.shape[::-1] else ""
        raise CheckFailure(
            f"backward: expected the error signal to have the input's shape {x.shape}, returned {moved.shape}{fix}"
        )


def _forward(specimen: Specimen, x: Array) -> tuple[Array, Any]:
    pair: Any = specimen.layer.forward(x)
    if type(pair) is not tuple or len(pair) != 2:
        got = f"an array of shape {pair.shape}" if isinstance(pair, np.ndarray) else repr(pair)
        raise CheckFailure(
            f"forward: expected the pair (output, saved), returned {got}: write `return y, saved`, "
            "with what backward needs in saved"
        )
    if not isinstance(pair[0], np.ndarray):
        raise CheckFailure(f"forward: expected an array as output, returned {pair[0]!r}")
    return pair
