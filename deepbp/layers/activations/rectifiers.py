"""Rectifiers: activation functions that are linear for positive inputs."""

import numpy as np
from attrs import Factory, define, evolve, field

from deepbp._validation import ones
from deepbp.errors import ShapeError
from deepbp.errors.validators import boolean, fraction, instance_of, positive
from deepbp.formulas.language import Formula
from deepbp.initializers import Constant, Initializer
from deepbp.kernels import unchecked as kernels
from deepbp.kernels.blocks import LONG_BATCH, long_product, plan_of_sum
from deepbp.layers.layer import Builder, Elementwise, Layer
from deepbp.parameters import UNBUILT, Parameter
from deepbp.program.layout import NotLoweredError
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, Shape


@define(eq=False)
class ReLU(Layer[Array]):
    """Rectified linear unit (ReLU) activation: y = max(z, 0), for samples of any shape.

    Backpropagated gradient: δ where y > 0, else 0. At the kink, z = 0, the derivative is 0.

    >>> import numpy as np
    >>> from deepbp.layers import ReLU
    >>> y, saved = ReLU().forward(np.array([[-1.0, 0.0, 2.0]]))
    >>> y, ReLU().backward(saved, np.array([[5.0, 6.0, 7.0]]))
    (array([[0., 0., 2.]]), array([[0., 0., 7.]]))

    Source: Nair & Hinton 2010.
    """

    stepwise = any_length = True

    formula = Formula("maximum(x, 0)", derivative="y > 0", input="z", function="ReLU")

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = kernels.relu(z)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return kernels.relu_backward(y, delta)

    def lower(self, program: Program, x: Slot) -> Slot:
        return program.activation(("relu",), ("relu_backward",), x)


@define(eq=False)
class ReLU6(Elementwise[Array]):
    """ReLU6 activation: y = min(max(z, 0), 6), for samples of any shape.

    Backpropagated gradient: δ where 0 < y < 6, else 0, so only the output is saved. At the kinks, z = 0 and z = 6, the
    derivative is 0.

    >>> import numpy as np
    >>> from deepbp.layers import ReLU6
    >>> ReLU6().predict(np.array([[-1.0, 2.0, 7.0]]))
    array([[0., 2., 6.]])

    Source: Krizhevsky 2010.
    """

    formula = Formula("minimum(maximum(x, 0), 6)", derivative="(y > 0) * (y < 6)", input="z", function="ReLU6")

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = np.minimum(np.maximum(z, 0), 6)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return delta * ((y > 0) & (y < 6))

    def lower(self, program: Program, x: Slot) -> Slot:
        return program.activation(("relu6",), ("relu6_backward",), x)


@define(eq=False)
class LeakyReLU(Elementwise[Array]):
    """Leaky ReLU activation: y = z where z > 0, else slope · z, for samples of any shape.

    Backpropagated gradient: δ where y > 0, else slope · δ, so only the output is saved. At the kink, z = 0, the
    derivative is the slope.

    Args:
        slope: the slope for negative z; at least 0 and below 1.

    >>> import numpy as np
    >>> from deepbp.layers import LeakyReLU
    >>> LeakyReLU(0.1).predict(np.array([[-10.0, 0.0, 2.0]]))
    array([[-1.,  0.,  2.]])

    Source: Maas, Hannun & Ng 2013.
    """

    formula = Formula("maximum(x, slope * x)", derivative="(y > 0) + slope * (y <= 0)", input="z", function="LeakyReLU")

    slope: float = field(default=0.01, validator=fraction)

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = np.maximum(z, self.slope * z)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return np.where(y > 0, delta, self.slope * delta)

    def lower(self, program: Program, x: Slot) -> Slot:
        return program.activation(("leaky_relu", float(self.slope)), ("leaky_relu_backward", float(self.slope)), x)


@define(eq=False)
class PReLU(Elementwise[Array]):
    """Parametric ReLU (PReLU) activation: y = max(z, 0) + s · min(z, 0), with a trainable slope s.

    Shapes: z (B, …, F), s (F,): one slope for each feature, along the last axis; or (1,) if shared.

    Backpropagated gradient: δ where z > 0, else s · δ; ∂L/∂s = Σ δ · min(z, 0) over all values that share a slope. At
    the kink, z = 0, the derivative is s. Weight decay does not apply to slopes, as to no vector.

    Args:
        shared: whether all features share one slope.
        slope_init: the initializer of the slopes; 0.25 by default.

    Raises:
        ShapeError: by ``build``, for samples that are single numbers, unless the slope is shared.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, PReLU
    >>> prelu = PReLU()
    >>> _ = Builder(dtype="float64").build(prelu, (2,))
    >>> y, saved = prelu.forward(np.array([[-4.0, 2.0], [-8.0, 1.0]]))
    >>> y, prelu.backward(saved, np.ones((2, 2))), prelu.slope.grad
    (array([[-1.,  2.],
           [-2.,  1.]]), array([[0.25, 1.  ],
           [0.25, 1.  ]]), array([-12.,   0.]))

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

    def stated_formula(self) -> Formula | None:
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
        rows = share.reshape(-1, self.slope.value.size)
        is_long = len(rows) > LONG_BATCH
        total = long_product(ones(len(rows), rows.dtype), rows) if is_long else rows.sum(axis=0)
        self.slope.accumulate(total)  # ∂L/∂s = Σ δ min(z, 0)

    def lower(self, program: Program, x: Slot) -> Slot:
        slope, size = self.slope, self.slope.value.size
        rows, is_trained = x.value.size // size, program.trains(self.slope, program.written)
        if rows > LONG_BATCH and is_trained:
            raise NotLoweredError("the gradient of a PReLU is summed in pieces for so many values")
        y = program.slot(x.value.shape[1:], is_trained or x.delta is not None)
        program.then(*program.by_features("prelu", x.value, y.value, slope.value))
        if y.delta is not None:
            plan = np.array(plan_of_sum(rows), np.int64)
            memory = (program.array(x.value.shape[1:]), plan, len(plan), np.zeros(len(plan), program.dtype))
            sums = ("prelu_gradient", x.value, y.delta, slope._grad_array(), x.width // size, size, *memory)
            moved = program.by_features("prelu_backward", x.value, y.delta, slope.value)
            program.on_the_way_back(
                *([sums] if is_trained else []), *([(*moved, x.delta)] if x.delta is not None else [])
            )
        return y


@define(eq=False)
class ELU(Elementwise[Array]):
    """Exponential linear unit (ELU) activation: y = z where z > 0, else α (eᶻ − 1), for samples of any shape.

    Backpropagated gradient: δ where y > 0, else δ · α eᶻ = δ · (y + α), so only the output is saved; where y is −α to
    the last digit, the gradient is 0. At z = 0 the derivative is α; for α = 1 there is no kink.

    Args:
        alpha: α > 0; y tends to −α for very negative z.

    >>> import numpy as np
    >>> from deepbp.layers import ELU
    >>> ELU().predict(np.array([[-1.0, 0.0, 2.0]])).round(4)
    array([[-0.6321,  0.    ,  2.    ]])

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
        y = kernels.elu(z, 1.0, float(self.alpha), 1.0)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return np.where(y > 0, delta, delta * (y + self.alpha))

    def lower(self, program: Program, x: Slot) -> Slot:
        alpha = float(self.alpha)
        return program.activation(("elu", 1.0, alpha, 1.0), ("elu_backward", 1.0, 1.0, alpha), x)


@define(eq=False)
class CELU(Elementwise[Array]):
    """CELU activation, a continuously differentiable ELU: y = z where z > 0, else α (e^(z/α) − 1).

    For samples of any shape. Backpropagated gradient: δ where y > 0, else δ · e^(z/α) = δ · (y/α + 1), so only the
    output is saved. The derivative is continuous, 1 at z = 0.

    Args:
        alpha: α > 0; y tends to −α for very negative z.

    >>> import numpy as np
    >>> from deepbp.layers import CELU
    >>> CELU(2.0).predict(np.array([[-2.0, 0.0, 2.0]])).round(4)
    array([[-1.2642,  0.    ,  2.    ]])

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
        y = kernels.elu(z, 1.0, float(self.alpha), float(self.alpha))
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return np.where(y > 0, delta, delta * (y / self.alpha + 1))

    def lower(self, program: Program, x: Slot) -> Slot:
        alpha = float(self.alpha)
        return program.activation(("elu", 1.0, alpha, alpha), ("elu_backward", 1.0, alpha, 1.0), x)


SCALE = 1.0507009873554804934  # λ and α for which mean 0 and variance 1 are a fixed point, equations (14) of the paper
ALPHA = 1.6732632423543772848


@define(eq=False)
class SELU(Elementwise[Array]):
    """Scaled ELU (SELU) activation: y = λ z where z > 0, else λ α (eᶻ − 1), with λ = 1.0507… and α = 1.6733….

    For samples of any shape. With weights drawn by ``LeCunNormal`` a deep network keeps its activations at mean 0 and
    variance 1.

    Backpropagated gradient: λ δ where y > 0, else δ · λ α eᶻ = δ · (y + λ α), so only the output is saved. At the kink,
    z = 0, the derivative is the left one, λ α.

    >>> import numpy as np
    >>> from deepbp.layers import SELU
    >>> SELU().predict(np.array([[-1.0, 0.0, 1.0]])).round(4)
    array([[-1.1113,  0.    ,  1.0507]])

    Source: Klambauer et al. 2017.
    """

    formula = Formula(
        f"{SCALE} * (maximum(x, 0) + {ALPHA} * (exp(minimum(x, 0)) - 1))",
        derivative=f"{SCALE} * (y > 0) + (y <= 0) * (y + {SCALE * ALPHA})",
        input="z",
        function="SELU",
    )

    def forward(self, z: Array) -> tuple[Array, Array]:
        y = kernels.elu(z, SCALE, SCALE * ALPHA, 1.0)
        return y, y

    def backward(self, y: Array, delta: Array) -> Array:
        return np.where(y > 0, SCALE * delta, delta * (y + SCALE * ALPHA))

    def lower(self, program: Program, x: Slot) -> Slot:
        return program.activation(("elu", SCALE, SCALE * ALPHA, 1.0), ("elu_backward", SCALE, 1.0, SCALE * ALPHA), x)
