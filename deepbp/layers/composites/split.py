"""Several layers that each get columns of the input of their own."""

from itertools import accumulate
from typing import Any

from attrs import define, field

from deepbp.arrays import as_shape
from deepbp.errors import ConfigurationError, ShapeError
from deepbp.layers.composites.parallel import Parallel
from deepbp.typing import Shape


def _as_sizes(sizes: Any) -> Shape | None:
    return None if sizes is None else as_shape(sizes, "Split: sizes")


@define(eq=False)
class Split(Parallel):
    """y = merge(f₁(x₁), f₂(x₂), …), where x = [x₁, x₂, …] is cut along its last axis.

    Backward: merge's rule takes δ apart as in ``Parallel``, and what the branches pass back stands side by side, as
    the columns did: ∂L/∂x = [f₁.backward(δ₁), f₂.backward(δ₂), …].

    This is how a network takes several inputs: they lie side by side in one array, and each goes to its own branch.
    With a ``Parallel`` at the end, two inputs, of 3 and of 5 numbers, become two outputs, of 2 and of 1::

        net = Sequential(
            [
                Split([Dense(8), [Dense(16), ReLU(), Dense(8)]], sizes=(3, 5)),
                ReLU(),
                Parallel([Dense(2), Dense(1)]),
            ],
            input_shape=8,
        )
        net.fit(np.hstack([people, things]), np.hstack([scores, prices]), loss=MeanSquaredError(), optimizer=Adam())
        scores, prices = np.split(net.predict(np.hstack([people, things])), [2], axis=1)

    Inputs of several axes are flattened before, and get their shape back from a ``Reshape`` at the start of a branch.

    Args:
        branches: as in ``Parallel``.
        sizes: how many columns each branch gets; None cuts the input into equal parts.
        merge: as in ``Parallel``.

    Raises:
        ShapeError: when built for samples whose last axis the sizes do not use up, and as ``Parallel`` does.
    """

    sizes: Shape | None = field(default=None, kw_only=True, converter=_as_sizes)

    def __attrs_post_init__(self) -> None:
        if self.sizes is not None and len(self.sizes) != len(self.branches):
            raise ConfigurationError(
                f"Split: sizes: expected one for each of the {len(self.branches)} branches, got {self.sizes}"
            )

    def cut(self, input_shape: Shape) -> tuple[slice, ...]:
        if not input_shape:
            raise ShapeError("expects samples with an axis to cut, got (): single numbers have none")
        width, count = input_shape[-1], len(self.branches)
        if self.sizes is None and width % count:
            raise ShapeError(f"cannot cut {width} columns into {count} equal parts, got {input_shape}: give sizes=...")
        sizes = self.sizes or (width // count,) * count
        if sum(sizes) != width:
            listed = " + ".join(map(str, sizes))
            raise ShapeError(f"expects {listed} = {sum(sizes)} columns, got {input_shape}")
        return tuple(slice(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True))
