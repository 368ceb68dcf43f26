"""A leaky ReLU that learns how much it lets through."""

import numpy as np
from attrs import Factory, define, evolve, field

from deepbp.errors import ShapeError
from deepbp.errors.validators import boolean, instance_of
from deepbp.initializers import Constant, Initializer
from deepbp.layers.builder import Builder
from deepbp.layers.formula import Formula
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_alike, expect_floats, refusal
from deepbp.parameter import UNBUILT, Parameter
from deepbp.typing import Array, Shape


@define(eq=False)
class PReLU(Layer[Array]):
    """y = max(z, 0) + s · min(z, 0): z where it is positive, s · z elsewhere, with a trained slope s.

    Shapes: z (B, …, F), s (F,): one slope for each feature, which lie along the last axis; or (1,) for one that all
    share.

    Backward: δ where z > 0, else s · δ; ∂L/∂s = Σ δ · min(z, 0) over all that a slope serves. At the kink, z = 0, the
    derivative is taken as s. Weight decay leaves slopes alone, as it does all vectors.

    Args:
        shared: whether there is one slope alone.
        slope_init: how the first slopes are drawn, 0.25 each unless it says otherwise.

    Raises:
        ShapeError: when built for samples that are single numbers, unless the slope is shared.

    Source: He et al. 2015.
    """

    formula = Formula(
        "maximum(x, 0) + slope * minimum(x, 0)",
        derivative="(x > 0) + slope * (x <= 0)",
        gradients={"slope": "feature_sum(delta * minimum(x, 0))"},
        input="z",
        symbols={"slope": "s"},
    )

    shared: bool = field(default=False, kw_only=True, validator=boolean)
    slope_init: Initializer = field(
        default=Factory(lambda: Constant(0.25)), kw_only=True, validator=instance_of(Initializer)
    )
    slope: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if not input_shape and not self.shared:
            raise ShapeError("expects samples with an axis of features, got single numbers: use PReLU(shared=True)")
        self.slope = builder.parameter((1,) if self.shared else input_shape[-1:], self.slope_init)
        return input_shape

    def stated_formula(self) -> Formula:
        if not self.shared:
            return self.formula
        return evolve(self.formula, gradients={"slope": "reshape(total(delta * minimum(x, 0)), 1)"})

    def forward(self, z: Array) -> tuple[Array, Array]:
        expect_floats(self, z)
        try:
            y = np.maximum(z, 0) + self.slope.value * np.minimum(z, 0)
            if y.shape != z.shape:
                raise ShapeError("repeated along an axis")
        except Exception as error:
            raise refusal(self, error, "z", z) from None
        return y, z

    def backward(self, z: Array, delta: Array) -> Array:
        self.backward_parameters(z, delta)
        return np.where(z > 0, delta, delta * self.slope.value)

    def backward_parameters(self, z: Array, delta: Array) -> None:
        expect_alike(z, delta)
        share = delta * np.minimum(z, 0)
        self.slope.accumulate(share.reshape(-1, self.slope.value.size).sum(axis=0))  # ∂L/∂s = Σ δ min(z, 0)
