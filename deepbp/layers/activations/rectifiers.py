"""Rectifiers: activation functions that are linear for positive inputs."""

import numpy as np
from attrs import Factory, define, evolve, field

from deepbp import kernels
from deepbp.errors import ShapeError
from deepbp.errors.validators import boolean, fraction, instance_of, positive
from deepbp.formulas.language import Formula
from deepbp.initializers import Constant, Initializer
from deepbp.layers.layer import Builder, Elementwise, Layer
from deepbp.parameters import UNBUILT, Parameter
from deepbp.typing import Array, Shape


@define(eq=False)
class ReLU(Layer[Array]):
    """y = max(z, 0), for samples of any shape.

    Backward: δ where y > 0, else 0. At the kink, z = 0, the derivative is taken as 0.

    Source: Nair & Hinton 2010.
    """

    formula = Formula("maximum(x, 0)", derivative="y > 0", input="z", function="ReLU")

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = kernels.relu(z)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.relu_backward(y, delta)


@define(eq=False)
class ReLU6(Elementwise[Array]):
    """y = z, cut off at 0 and 6, for samples of any shape.

    Backward: δ where 0 < y < 6, else 0, so the output is all it remembers. At the kinks, z = 0 and 6, the derivative is
    taken as 0.

    Source: Krizhevsky 2010.
    """

    formula = Formula("minimum(maximum(x, 0), 6)", derivative="(y > 0) * (y < 6)", input="z", function="ReLU6")

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = np.minimum(np.maximum(z, 0), 6)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return delta * ((y > 0) & (y < 6))


@define(eq=False)
class LeakyReLU(Elementwise[Array]):
    """y = max(z, slope · z), for samples of any shape: z where it is positive, slope · z elsewhere.

    Backward: δ where y > 0, else slope · δ, so the output is all it remembers. At the kink, z = 0, the derivative is
    taken as the slope.

    Args:
        slope: of the left side, at least 0 and below 1.

    Source: Maas, Hannun & Ng 2013.
    """

    formula = Formula("maximum(x, slope * x)", derivative="(y > 0) + slope * (y <= 0)", input="z", function="LeakyReLU")

    slope: float = field(default=0.01, validator=fraction)

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = np.maximum(z, self.slope * z)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return np.where(y > 0, delta, self.slope * delta)


@define(eq=False)
class PReLU(Elementwise[Array]):
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
        return np.maximum(z, 0) + self.slope.value * np.minimum(z, 0), z

    def backward(self, z: Array, delta: Array) -> Array:
        self._run_backward_parameters(z, delta)
        return np.where(z > 0, delta, delta * self.slope.value)

    def backward_parameters(self, z: Array, delta: Array) -> None:
        share = delta * np.minimum(z, 0)
        self.slope.accumulate(share.reshape(-1, self.slope.value.size).sum(axis=0))  # ∂L/∂s = Σ δ min(z, 0)


@define(eq=False)
class ELU(Elementwise[Array]):
    """y = z where z > 0, else α (eᶻ − 1), for samples of any shape.

    Backward: δ where y > 0, else δ · α eᶻ = δ · (y + α), so the output is all it remembers; where that is −α to the
    last digit, 0 passes back. At z = 0 the derivative is taken as α, which for α = 1 is no choice: there is no kink.

    Args:
        alpha: −α is what y comes to for very negative z; above 0.

    Source: Clevert, Unterthiner & Hochreiter 2016.
    """

    formula = Formula(
        "maximum(x, 0) + alpha * (exp(minimum(x, 0)) - 1)",
        derivative="(y > 0) + (y <= 0) * (y + alpha)",
        input="z",
        function="ELU",
        symbols={"alpha": "α"},
    )

    alpha: float = field(default=1.0, validator=positive)

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = np.maximum(z, 0) + self.alpha * np.expm1(np.minimum(z, 0))  # eᶻ − 1 keeps its digits near zero
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return np.where(y > 0, delta, delta * (y + self.alpha))


@define(eq=False)
class CELU(Elementwise[Array]):
    """y = z where z > 0, else α (e^(z/α) − 1), for samples of any shape.

    Backward: δ where y > 0, else δ · e^(z/α) = δ · (y/α + 1), so the output is all it remembers. The derivative is
    continuous, 1 at z = 0.

    Args:
        alpha: −α is what y comes to for very negative z; above 0.

    Source: Barron 2017.
    """

    formula = Formula(
        "maximum(x, 0) + alpha * (exp(minimum(x, 0) / alpha) - 1)",
        derivative="(y > 0) + (y <= 0) * (y / alpha + 1)",
        input="z",
        function="CELU",
        symbols={"alpha": "α"},
    )

    alpha: float = field(default=1.0, validator=positive)

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = np.maximum(z, 0) + self.alpha * np.expm1(np.minimum(z, 0) / self.alpha)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return np.where(y > 0, delta, delta * (y / self.alpha + 1))


SCALE = 1.0507009873554804934  # λ and α for which mean 0 and variance 1 are a fixed point, equations (14) of the paper
ALPHA = 1.6732632423543772848


@define(eq=False)
class SELU(Elementwise[Array]):
    """y = λ z where z > 0, else λ α (eᶻ − 1), with λ = 1.0507… and α = 1.6733…, for samples of any shape.

    With weights drawn by ``LeCunNormal`` a deep network keeps its signals at mean 0 and variance 1.

    Backward: λ δ where y > 0, else δ · λ α eᶻ = δ · (y + λ α), so the output is all it remembers. At the kink, z = 0,
    the derivative is taken as λ α, its left one.

    Source: Klambauer et al. 2017.
    """

    formula = Formula(
        f"{SCALE} * (maximum(x, 0) + {ALPHA} * (exp(minimum(x, 0)) - 1))",
        derivative=f"{SCALE} * (y > 0) + (y <= 0) * (y + {SCALE * ALPHA})",
        input="z",
        function="SELU",
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = SCALE * np.maximum(z, 0) + SCALE * ALPHA * np.expm1(np.minimum(z, 0))
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return np.where(y > 0, SCALE * delta, delta * (y + SCALE * ALPHA))
