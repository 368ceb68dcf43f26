"""The same kind of layer several times in a row."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from attrs import define, field

from deepbp.errors import ShapeError
from deepbp.errors.validators import boolean, positive_int
from deepbp.layers.builder import Builder
from deepbp.layers.chain import Chain
from deepbp.layers.composites.inner import as_layer
from deepbp.layers.layer import Layer
from deepbp.typing import Shape


@define(eq=False)
class Repeat(Chain):
    """y = fₙ(… f₂(f₁(x))): copies of one layer, each with weights of its own; or, shared, that very layer n times.

    Backward: as in a chain. Of shared weights every use gives a share of the gradient, and the shares add: that is
    backpropagation through a recurrent net, unrolled over n steps.

    Copies are made when it is built, and each draws first values of its own. A layer that was built before is copied
    with the values it has, so that all copies start from those.

    Args:
        layer: or a list of layers, one after another, of which the whole row is repeated.
        times: n.
        share: whether all uses have the same weights. The layer's output then needs the shape of its input.

    Raises:
        ShapeError: when built, where shared weights do not fit their own output.

    Source: Vaswani et al. 2017 for stacks of like layers; Rumelhart, Hinton & Williams 1986 for a net unrolled in time.
    """

    layers: Sequence[Layer[Any]] = field(default=(), init=False)  # when it is built: what runs
    layer: Layer[Any] = field(converter=as_layer)
    times: int = field(validator=positive_int)
    share: bool = field(default=False, kw_only=True, validator=boolean)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        copies = [self.layer if self.share else deepcopy(self.layer) for _ in range(self.times - 1)]
        if self.share and self.times > 1:
            output_shape = builder.build(self.layer, input_shape)
            if output_shape != input_shape:
                raise ShapeError(
                    f"a layer that is used again needs the shape of its input as output, {input_shape}, got "
                    f"{output_shape}: share=False makes copies, each for the shape it meets"
                )
        self.layers = (self.layer, *copies)
        return super().build(input_shape, builder)

    def has_penalty(self) -> bool:
        return self.layer.has_penalty()
