"""Batches of any size and any layout in memory."""

from collections.abc import Iterator

import numpy as np

from deepbp.testing.arrays import expect_same
from deepbp.testing.check import CheckFailure
from deepbp.testing.layers.case import LayerCase, Pass
from deepbp.typing import Array


def batch_of_one(case: LayerCase) -> None:
    """A single sample."""
    _runs(case, 1)


def batch_of_many(case: LayerCase) -> None:
    """More samples than any other axis is long."""
    _runs(case, 130)


def batch_of_none(case: LayerCase) -> None:
    """No samples at all: empty results, and gradients of zero unless there is a penalty."""
    priced = case.prototype.has_penalty()  # weights cost what they cost without any samples
    for name, gradient in _runs(case, 0).items():
        if np.any(gradient) and not priced:
            raise CheckFailure(f"∂L/∂{name}: a batch of no samples gave a gradient that is not zero")


def batched_equals_one_by_one(case: LayerCase) -> None:
    """A sample's result does not depend on the others in its batch: in predict always, in training unless the layer
    has buffers, which is how one that looks at the whole batch keeps its averages, or is random.
    """
    specimen, x = case.build(), case.x()
    hint = "was an axis taken for another, or a mean taken over the batch?"
    together = specimen.predict(x).copy()
    alone = np.concatenate([specimen.predict(row[None]).copy() for row in x])
    expect_same(together, alone, f"predict: a batch gives something else than its samples one by one: {hint}")
    if not specimen.is_plain(x):
        return
    whole = specimen.forward(x).copy()
    rows = np.concatenate([specimen.forward(row[None]).copy() for row in x])
    expect_same(whole, rows, f"forward: a batch gives something else than its samples one by one: {hint}")


def any_memory_layout(case: LayerCase) -> None:
    """Fortran-ordered, strided and reversed arrays give what contiguous ones do."""
    specimen, x = case.build(), case.x()
    delta = specimen.delta(x, case.rng(10))
    predicted = specimen.predict(x).copy()
    expected = specimen.run(x, delta)
    for (name, laid_x), again, laid_delta in zip(_layouts(x), _layouts(x), _layouts(delta), strict=True):
        specimen.start_again()
        output, saved = specimen.layer.forward(laid_x)
        got = Pass(output.copy(), specimen.layer.backward(saved, laid_delta[1]), specimen.gradients())
        message = f"changes for {name} arrays: reshape, ravel and views must not assume a layout"
        expect_same(got.output, expected.output, f"the output {message}")
        expect_same(got.moved, expected.moved, f"∂L/∂x {message}")
        for parameter, gradient in got.gradients.items():
            expect_same(gradient, expected.gradients[parameter], f"∂L/∂{parameter} {message}")
        specimen.start_again()
        expect_same(specimen.layer.infer(again[1]), predicted, f"predict {message}")


def _layouts(array: Array) -> Iterator[tuple[str, Array]]:
    """The same numbers, laid out differently."""
    yield "Fortran-ordered", np.array(array, order="F")
    spread = np.zeros(tuple(2 * size for size in array.shape), array.dtype)
    view = spread[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    yield "strided", view
    yield "reversed", array[::-1].copy()[::-1]


def _runs(case: LayerCase, rows: int) -> dict[str, Array]:
    """All passes run over this many samples and give results of the right shape and without NaN; the gradients."""
    specimen, x = case.build(), case.x(rows)
    run = specimen.run(x, specimen.delta(x, case.rng(10)))
    specimen.start_again()
    expected = (rows, *specimen.output_shape)
    results = (
        ("forward", run.output, expected),
        ("backward", run.moved, x.shape),
        ("predict", specimen.predict(x), expected),
    )
    for name, array, shape in results:
        if array.shape != shape:
            raise CheckFailure(f"{name}: a batch of {rows} gave shape {array.shape}, expected {shape}")
        if not np.isfinite(array).all():
            raise CheckFailure(f"{name}: a batch of {rows} gave numbers that are not finite")
    return run.gradients
