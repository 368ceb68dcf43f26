"""One table of everything built in; a public class that is missing here fails a test."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from deepbp import Sequential
from deepbp.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LeCunNormal,
    Normal,
    Ones,
    Orthogonal,
    Uniform,
    Zeros,
)
from deepbp.layers import (
    CELU,
    ELU,
    GELU,
    L1,
    L1L2,
    L2,
    SELU,
    Activation,
    BatchNorm,
    Bilinear,
    Chain,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Gaussian,
    GaussianNoise,
    GroupNorm,
    HardSigmoid,
    HardSwish,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Maxout,
    Mish,
    Parallel,
    Penalized,
    PReLU,
    ReLU,
    ReLU6,
    Repeat,
    Reshape,
    Residual,
    RMSNorm,
    Scale,
    Shift,
    Sigmoid,
    SiLU,
    Sine,
    Softmax,
    Softplus,
    Softsign,
    Split,
    StopGradient,
    Tanh,
    TiedDense,
)
from deepbp.losses import (
    BinaryCrossEntropy,
    CategoricalHinge,
    CosineSimilarity,
    CrossEntropy,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    LogPoisson,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    OnOutputs,
    Poisson,
    Quantile,
    SigmoidBinaryCrossEntropy,
    SigmoidFocal,
    SoftmaxCrossEntropy,
    SoftmaxFocal,
    SquaredHinge,
    SumOfLosses,
    SumSquaredError,
)
from deepbp.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AMSGrad,
    Grouped,
    Lion,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)
from deepbp.optimizers.schedules import Cosine, OneCycle, Warmup
from deepbp.testing import Check, initializer_checks, layer_checks, loss_checks, optimizer_checks
from deepbp.typing import Array, Shape


def square(z: Array) -> Array:
    return z * z


def twice(z: Array) -> Array:
    return 2 * z


ACTIVATIONS: list[tuple[Layer[Any], Shape]] = [
    (Activation(square, twice), (4,)),
    (Activation(np.sin, np.cos), (2, 3)),
    (CELU(), (4,)),
    (CELU(0.5), (2, 3)),
    (ELU(), (4,)),
    (ELU(0.5), (2, 3)),
    (GELU(), (4,)),
    (GELU(), (2, 3)),
    (GELU("tanh"), (4,)),
    (Gaussian(), (4,)),
    (HardSigmoid(), (4,)),
    (HardSwish(), (4,)),
    (LeakyReLU(), (4,)),
    (LeakyReLU(0.3), (2, 3)),
    (LeakyReLU(0.0), (4,)),
    (LogSigmoid(), (4,)),
    (LogSoftmax(), (4,)),
    (LogSoftmax(), (2, 3)),
    (Mish(), (4,)),
    (PReLU(), (4,)),
    (PReLU(slope_init=Uniform(0.1, 0.5)), (2, 3)),
    (PReLU(shared=True), (2, 3)),
    (PReLU(shared=True), ()),
    (ReLU6(), (4,)),
    (SELU(), (4,)),
    (SiLU(), (4,)),
    (Sine(), (4,)),
    (Sine(1.0), (2, 3)),
    (Softplus(), (4,)),
    (Softplus(3.0), (2, 3)),
    (Softsign(), (4,)),
]

shared = Dense(3)

encoder = Dense(3)
narrow = Dense(2, use_bias=False)

OTHERS: list[tuple[Layer[Any], Shape]] = [
    (BatchNorm(), (3,)),
    (BatchNorm(momentum=0.5, epsilon=0.1), (2, 4, 3)),
    (Bilinear(2), (6,)),
    (Bilinear(3, sizes=(1, 3), use_bias=False), (4,)),
    (Chain([encoder, Tanh(), TiedDense(encoder)]), (4,)),
    (Chain([narrow, TiedDense(narrow, use_bias=False)]), (3,)),
    (Dropout(), (3,)),
    (Dropout(0.1), (2, 3)),
    (Dropout(0.0), (3,)),
    (GaussianNoise(0.3), (2, 3)),
    (GroupNorm(2), (6,)),
    (GroupNorm(3), (2, 2, 3)),
    (GroupNorm(1, epsilon=0.1), (2, 3)),
    (LayerNorm(), (4,)),
    (LayerNorm(epsilon=0.1), (2, 3)),
    (Maxout(3), (4,)),
    (Maxout(2, 3), (5,)),
    (Parallel([StopGradient(), [Dense(3), Tanh()]], merge="add"), (3,)),
    (RMSNorm(), (4,)),
    (RMSNorm(epsilon=0.1), (2, 3)),
    (Scale(), (3,)),
    (Scale(gain_init=Uniform(0.5, 2)), (2, 3)),
    (Shift(), (2, 3)),
    (StopGradient(), (2, 3)),
]

BUILTIN_LAYERS: list[tuple[Layer[Any], Shape]] = [
    (Dense(4), (3,)),
    (Dense(3), (3,)),
    (Dense(1), (1,)),
    (Dense(2, use_bias=False, weight_init=HeNormal()), (5,)),
    (Sigmoid(), (3,)),
    (Sigmoid(), (2, 3)),
    (Tanh(), (4,)),
    (ReLU(), (4,)),
    (Softmax(), (4,)),
    (Softmax(), (2, 3)),
    (Flatten(), (2, 3)),
    (Reshape((3, -1)), (2, 6)),
    (Chain([Dense(3), Sigmoid(), Dense(2)]), (4,)),
    (Chain([shared, Tanh(), shared]), (3,)),
    (Sequential([Dense(3), ReLU(), Sequential([Dense(2), Tanh()])]), (4,)),
    (Sequential([Dense(3), Sigmoid()], input_shape=(2,), rng=1), (2,)),
    (Residual([Dense(2), Tanh(), Dense(3)]), (3,)),
    (Residual(Tanh(), Dense(3)), (3,)),
    (Residual(Sigmoid()), (2, 3)),
    (Parallel([Dense(1), Tanh(), None]), (2,)),
    (Parallel([shared, Tanh(), shared], merge="add"), (3,)),
    (Parallel([Dense(2), Sigmoid(), None], merge="multiply"), (2,)),
    (Parallel([Tanh(), None], merge="mean"), (2, 3)),
    (Split([Dense(2), Tanh()], sizes=(1, 2), merge="multiply"), (3,)),
    (Split([ReLU(), None]), (2, 4)),
    (Repeat(Dense(2), 2), (3,)),
    (Repeat(Dense(2), 2, share=True), (2,)),
    (Penalized([Dense(2), Tanh()], weights=L1L2(0.1, 0.2), outputs=L1(0.3)), (3,)),
    (Residual(Parallel([None, Penalized(Repeat(Dense(2), 2, share=True), weights=L2(0.1))], merge="mean")), (2,)),
    *ACTIVATIONS,
    *OTHERS,
]


def categories(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.integers(0, 5, shape)


def first_column_of_categories(rng: np.random.Generator, shape: Shape) -> Array:
    x = rng.standard_normal(shape)
    x[..., 0] = rng.integers(0, 5, shape[:-1])
    return x


CATEGORY_LAYERS: list[tuple[Layer[Any], Shape, Callable[[np.random.Generator, Shape], Array]]] = [
    (Embedding(5, 3), (2,), categories),
    (Embedding(5, 2, table_init=HeNormal()), (), categories),
    (Embedding(5, 3), (1,), first_column_of_categories),
    (Split([[Embedding(5, 3), Flatten()], None], sizes=(1, 3)), (4,), first_column_of_categories),
]


def labels(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.integers(0, shape[-1], shape[:-1])


def fractions(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.random(shape)


def answers(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.integers(0, 2, shape).astype(np.float64)


def distributions(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1])


def one_number(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.standard_normal((*shape[:-1], 1))


def number_and_class(rng: np.random.Generator, shape: Shape) -> Array:
    classes = np.eye(shape[-1] - 1)[rng.integers(0, shape[-1] - 1, shape[:-1])]
    return np.concatenate([one_number(rng, shape), classes], axis=-1)


BUILTIN_LOSSES: list[tuple[Loss[Any], Shape, Callable[[np.random.Generator, Shape], Array] | None]] = [
    (SumSquaredError(), (3,), None),
    (SumSquaredError(scale=0.5), (1,), None),
    (MeanSquaredError(), (2, 3), None),
    (BinaryCrossEntropy(), (1,), None),
    (BinaryCrossEntropy(), (4,), fractions),
    (SigmoidBinaryCrossEntropy(), (1,), None),
    (SigmoidBinaryCrossEntropy(), (4,), fractions),
    (CrossEntropy(), (4,), None),
    (CrossEntropy(), (2, 4), labels),
    (SoftmaxCrossEntropy(), (4,), None),
    (SoftmaxCrossEntropy(), (2, 4), labels),
    (BinaryCrossEntropy(label_smoothing=0.2), (3,), None),
    (SigmoidBinaryCrossEntropy(pos_weight=3.0, label_smoothing=0.2), (1,), None),
    (SigmoidBinaryCrossEntropy(pos_weight=(0.5, 2.0, 7.0)), (2, 3), answers),
    (CrossEntropy(label_smoothing=0.1), (4,), labels),
    (SoftmaxCrossEntropy(label_smoothing=0.1), (4,), None),
    (SoftmaxCrossEntropy(label_smoothing=0.1), (2, 4), labels),
    (MeanAbsoluteError(), (2, 3), None),
    (Huber(), (3,), None),
    (Huber(delta=0.3), (1,), None),
    (LogCosh(), (3,), None),
    (Poisson(), (3,), None),
    (LogPoisson(), (1,), None),
    (KLDivergence(), (3,), None),
    (KLDivergence(), (2, 4), distributions),
    (Hinge(), (1,), None),
    (Hinge(), (4,), answers),
    (SquaredHinge(), (3,), answers),
    (CategoricalHinge(), (4,), None),
    (CategoricalHinge(), (2, 4), labels),
    (SigmoidFocal(), (1,), None),
    (SigmoidFocal(gamma=0.5, alpha=None), (4,), answers),
    (SoftmaxFocal(), (4,), None),
    (SoftmaxFocal(gamma=0.5, alpha=(1.0, 0.5, 2.0, 4.0)), (2, 4), labels),
    (SoftmaxFocal(gamma=1.0), (4,), distributions),
    (Quantile(), (2, 3), None),
    (Quantile(0.9), (1,), None),
    (Quantile((0.1, 0.5, 0.9)), (3,), one_number),
    (Quantile((0.05, 0.95)), (3, 2), one_number),
    (CosineSimilarity(), (3,), None),
    (CosineSimilarity(), (2, 4), None),
    (SumOfLosses([MeanSquaredError(), Huber(0.5)]), (3,), None),
    (SumOfLosses([SumSquaredError(), SumSquaredError(scale=0.5)], weights=(1.0, 3.0)), (3,), None),
    (
        SumOfLosses([OnOutputs(MeanSquaredError(), 0, 1), OnOutputs(SoftmaxCrossEntropy(), 1, 4)]),
        (4,),
        number_and_class,
    ),
    (OnOutputs(Quantile((0.1, 0.9)), 1, 3, targets=(0, 1)), (2, 4), None),
]


def warm_up(step: int) -> float:
    return 0.01 * step


BUILTIN_OPTIMIZERS: list[Optimizer] = [
    SGD(0.1),
    SGD(0.1, momentum=0.9, weight_decay=0.01),
    SGD(0.1, momentum=0.9, nesterov=True),
    SGD(warm_up),
    SGD(OneCycle(0.1, 8), momentum=0.9),
    Adam(),
    AdamW(0.01),
    AdamW(Warmup(4, then=Cosine(0.01, 6, end=0.001))),
    AMSGrad(),
    AMSGrad(warm_up, weight_decay=0.1),
    NAdam(),
    NAdam(0.01, psi=1, weight_decay=0.1),
    RAdam(),
    RAdam(0.01, beta2=0.9, weight_decay=0.1),
    RAdam(beta2=0.5),
    RMSprop(),
    RMSprop(0.01, momentum=0.9, weight_decay=0.1),
    RMSprop(centered=True),
    RMSprop(warm_up, rho=0.99, centered=True, momentum=0.9),
    Adagrad(),
    Adagrad(0.1, initial=0.1, weight_decay=0.1),
    Adadelta(),
    Adadelta(rho=0.9, epsilon=1e-4, weight_decay=0.1),
    Lion(),
    Lion(0.01, weight_decay=0.1),
    Rprop(),
    Rprop(0.5, grow=2, shrink=0.25),
    Grouped({"*.bias": SGD(0.1), "*": AdamW(0.001)}),
    Grouped({"*.weight": NAdam(warm_up), "*": SGD(0.1, momentum=0.9)}, learning_rate=0.5),
    Grouped({"0.bias": Rprop(), "*": Grouped({"*.slope": Lion(), "*": RAdam()})}),
]

BUILTIN_INITIALIZERS: list[Initializer] = [
    Zeros(),
    Ones(),
    Constant(0.5),
    Uniform(-1, 1),
    Normal(std=0.1),
    GlorotUniform(),
    GlorotNormal(),
    HeUniform(),
    HeNormal(),
    LeCunNormal(),
    Orthogonal(),
]


def layers_checks(seed: int) -> Iterator[Check]:
    for layer, shape in BUILTIN_LAYERS:
        yield from layer_checks(layer, shape, rng=seed)
    for layer, shape, inputs in CATEGORY_LAYERS:
        yield from layer_checks(layer, shape, inputs=inputs, rng=seed)


def others_checks(seed: int) -> Iterator[Check]:
    for loss, shape, targets in BUILTIN_LOSSES:
        yield from loss_checks(loss, shape, targets=targets, rng=seed)
    for optimizer in BUILTIN_OPTIMIZERS:
        yield from optimizer_checks(optimizer, rng=seed)
    for initializer in BUILTIN_INITIALIZERS:
        yield from initializer_checks(initializer, rng=seed)
