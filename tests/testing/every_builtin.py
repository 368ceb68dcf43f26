"""The table of all built-in classes in several configurations; the tests fail if a public class is missing."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from deepbp import Sequential, initializers, layers, losses, optimizers
from deepbp.initializers import Initializer
from deepbp.layers import L2, Dense, Layer, ReLU, Repeat, Sigmoid, Tanh
from deepbp.losses import Loss, MeanSquaredError, OnOutputs, SumSquaredError
from deepbp.optimizers import SGD, AdamW, Grouped, Optimizer, schedules
from deepbp.testing import Check, initializer_checks, layer_checks, loss_checks, optimizer_checks
from deepbp.typing import Array, Shape


def square(z: Array) -> Array:
    return z * z


def twice(z: Array) -> Array:
    return 2 * z


ACTIVATIONS: list[tuple[Layer[Any], Shape]] = [
    (layers.Activation(square, twice), (4,)),
    (layers.Activation(np.sin, np.cos), (2, 3)),
    (layers.CELU(), (4,)),
    (layers.CELU(0.5), (2, 3)),
    (layers.ELU(), (4,)),
    (layers.ELU(0.5), (2, 3)),
    (layers.GELU(), (4,)),
    (layers.GELU(), (2, 3)),
    (layers.GELU("tanh"), (4,)),
    (layers.Gaussian(), (4,)),
    (layers.HardSigmoid(), (4,)),
    (layers.HardSwish(), (4,)),
    (layers.LeakyReLU(), (4,)),
    (layers.LeakyReLU(0.3), (2, 3)),
    (layers.LeakyReLU(0.0), (4,)),
    (layers.LogSigmoid(), (4,)),
    (layers.LogSoftmax(), (4,)),
    (layers.LogSoftmax(), (2, 3)),
    (layers.Mish(), (4,)),
    (layers.PReLU(), (4,)),
    (layers.PReLU(slope_init=initializers.Uniform(0.1, 0.5)), (2, 3)),
    (layers.PReLU(shared=True), (2, 3)),
    (layers.PReLU(shared=True), ()),
    (layers.ReLU6(), (4,)),
    (layers.SELU(), (4,)),
    (layers.SiLU(), (4,)),
    (layers.Sine(), (4,)),
    (layers.Sine(1.0), (2, 3)),
    (layers.Softplus(), (4,)),
    (layers.Softplus(3.0), (2, 3)),
    (layers.Softsign(), (4,)),
]

SEQUENCES: list[tuple[Layer[Any], Shape]] = [
    (layers.SimpleRNN(3), (4, 2)),
    (layers.SimpleRNN(2, return_sequences=True, reverse=True, initial_state="learned"), (3, 4)),
    (layers.GRU(3, return_sequences=True), (4, 2)),
    (layers.GRU(2, reverse=True, initial_state="learned"), (3, 4)),
    (layers.LSTM(3, return_sequences=True), (4, 2)),
    (layers.LSTM(2, reverse=True, initial_state="learned", forget_bias=0.5), (3, 4)),
    (layers.Bidirectional(layers.GRU(2, return_sequences=True)), (4, 3)),
    (layers.Bidirectional(layers.SimpleRNN(2), merge="multiply"), (4, 3)),
    (layers.SelfAttention(2), (3, 4)),
    (layers.SelfAttention(1, causal=True, rotary=True, width=6), (4, 3)),
    (layers.Positions(), (3, 4)),
    (layers.Positions("sinusoidal"), (4, 3)),
    (layers.Masked([layers.GRU(2), Tanh()]), (4, 3)),
    (layers.PerStep(layers.Bilinear(2)), (3, 4)),
    (
        layers.EncoderDecoder(
            layers.GRU(4, return_sequences=True),
            layers.Residual(layers.CrossAttention(2, width=6)),
            source_steps=2,
            padding=9.5,
        ),
        (5, 3),
    ),
]

shared = Dense(3)

encoder = Dense(3)
narrow = Dense(2, use_bias=False)

OTHERS: list[tuple[Layer[Any], Shape]] = [
    (layers.BatchNorm(), (3,)),
    (layers.BatchNorm(momentum=0.5, epsilon=0.1), (2, 4, 3)),
    (layers.Bilinear(2), (6,)),
    (layers.Bilinear(3, sizes=(1, 3), use_bias=False), (4,)),
    (layers.Chain([encoder, Tanh(), layers.TiedDense(encoder)]), (4,)),
    (layers.Chain([encoder, layers.TiedDense(encoder)]), (2, 4)),
    (layers.Chain([narrow, layers.TiedDense(narrow, use_bias=False)]), (3,)),
    (layers.Dropout(), (3,)),
    (layers.Dropout(0.1), (2, 3)),
    (layers.Dropout(0.0), (3,)),
    (layers.FormulaLayer("x * sigmoid(slope * x)", slope=initializers.Ones()), (4,)),
    (layers.FormulaLayer("log(1 + exp(beta * x)) / beta", beta=2.0), (2, 3)),
    (layers.GaussianNoise(0.3), (2, 3)),
    (layers.GroupNorm(2), (6,)),
    (layers.GroupNorm(3), (2, 2, 3)),
    (layers.GroupNorm(1, epsilon=0.1), (2, 3)),
    (layers.LayerNorm(), (4,)),
    (layers.LayerNorm(epsilon=0.1), (2, 3)),
    (layers.Maxout(3), (4,)),
    (layers.Maxout(2, 3), (5,)),
    (layers.Parallel([layers.StopGradient(), [Dense(3), Tanh()]], merge="add"), (3,)),
    (layers.RMSNorm(), (4,)),
    (layers.RMSNorm(epsilon=0.1), (2, 3)),
    (layers.Scale(), (3,)),
    (layers.Scale(gain_init=initializers.Uniform(0.5, 2)), (2, 3)),
    (layers.Shift(), (2, 3)),
    (layers.Standardize(), (3,)),
    (layers.Standardize(), (2, 3)),
    (layers.StopGradient(), (2, 3)),
]

IMAGES: list[tuple[Layer[Any], Shape]] = [
    (layers.Conv2D(3, 3, padding="same"), (4, 3, 2)),
    (layers.Conv2D(4, 2, stride=2, groups=2), (4, 5, 2)),
    (layers.Conv2D(2, (2, 3), stride=(2, 3), padding=((1, 2), 1), dilation=(1, 2), use_bias=False), (4, 5, 1)),
    (layers.Conv1D(2, 3, dilation=2, padding="causal"), (5, 2)),
    (layers.Conv1D(2, 2, stride=2, padding=(2, 1)), (4, 1)),
    (layers.DepthwiseConv2D(3, padding=1), (3, 2, 2)),
    (layers.DepthwiseConv2D(2, multiplier=2, stride=2), (4, 3, 2)),
    (layers.ConvTranspose2D(2, 3, stride=2, padding="same"), (2, 2, 2)),
    (layers.ConvTranspose2D(2, 2, stride=3, dilation=2, groups=2), (2, 1, 2)),
    (layers.ConvTranspose1D(2, 3, stride=2, padding=1, use_bias=False), (3, 2)),
    (layers.MaxPool2D(2), (4, 3, 2)),
    (layers.MaxPool2D(3, stride=2, padding="same"), (4, 3, 2)),
    (layers.MaxPool1D(2, stride=1, padding=(0, 1)), (4, 2)),
    (layers.AveragePool2D((2, 1)), (4, 3, 1)),
    (layers.AveragePool2D(3, stride=2, padding="same"), (4, 3, 2)),
    (layers.AveragePool1D(2, padding=1), (5, 2)),
    (layers.GlobalAveragePool(), (2, 3, 2)),
    (layers.GlobalMaxPool(), (4, 2)),
    (layers.ZeroPad2D(((1, 0), 2)), (2, 2, 1)),
    (layers.UpSample2D((2, 3)), (2, 1, 2)),
]

BUILTIN_LAYERS: list[tuple[Layer[Any], Shape]] = [
    (Dense(4), (3,)),
    (Dense(3), (3,)),
    (Dense(1), (1,)),
    (Dense(3), (2, 4)),
    (Dense(2, use_bias=False), (2, 3, 1)),
    (Dense(2, use_bias=False, weight_init=initializers.HeNormal()), (5,)),
    (Sigmoid(), (3,)),
    (Sigmoid(), (2, 3)),
    (Tanh(), (4,)),
    (ReLU(), (4,)),
    (layers.Softmax(), (4,)),
    (layers.Softmax(), (2, 3)),
    (layers.Flatten(), (2, 3)),
    (layers.Reshape((3, -1)), (2, 6)),
    (layers.Chain([Dense(3), Sigmoid(), Dense(2)]), (4,)),
    (layers.Chain([shared, Tanh(), shared]), (3,)),
    (Sequential([Dense(3), ReLU(), Sequential([Dense(2), Tanh()])]), (4,)),
    (Sequential([Dense(3), Sigmoid()], input_shape=(2,), rng=1), (2,)),
    (layers.Residual([Dense(2), Tanh(), Dense(3)]), (3,)),
    (layers.Residual(Tanh(), Dense(3)), (3,)),
    (layers.Residual(Sigmoid()), (2, 3)),
    (layers.Parallel([Dense(1), Tanh(), None]), (2,)),
    (layers.Parallel([shared, Tanh(), shared], merge="add"), (3,)),
    (layers.Parallel([Dense(2), Sigmoid(), None], merge="multiply"), (2,)),
    (layers.Parallel([Tanh(), None], merge="mean"), (2, 3)),
    (layers.Split([Dense(2), Tanh()], sizes=(1, 2), merge="multiply"), (3,)),
    (layers.Split([ReLU(), None]), (2, 4)),
    (Repeat(Dense(2), 2), (3,)),
    (Repeat(Dense(2), 2, share=True), (2,)),
    (layers.Penalized([Dense(2), Tanh()], weights=layers.L1L2(0.1, 0.2), outputs=layers.L1(0.3)), (3,)),
    (
        layers.Residual(
            layers.Parallel(
                [None, layers.Penalized(Repeat(Dense(2), 2, share=True), weights=L2(0.1))],
                merge="mean",
            )
        ),
        (2,),
    ),
    *ACTIVATIONS,
    *IMAGES,
    *OTHERS,
    *SEQUENCES,
]


def categories(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.integers(0, 5, shape)


def first_column_of_categories(rng: np.random.Generator, shape: Shape) -> Array:
    x = rng.standard_normal(shape)
    x[..., 0] = rng.integers(0, 5, shape[:-1])
    return x


CATEGORY_LAYERS: list[tuple[Layer[Any], Shape, Callable[[np.random.Generator, Shape], Array]]] = [
    (layers.Embedding(5, 3), (2,), categories),
    (layers.Embedding(5, 2, sparse_gradient=True), (2,), categories),
    (layers.Embedding(5, 2, table_init=initializers.HeNormal()), (), categories),
    (layers.Embedding(5, 3), (1,), first_column_of_categories),
    (layers.Split([[layers.Embedding(5, 3), layers.Flatten()], None], sizes=(1, 3)), (4,), first_column_of_categories),
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


def with_holes(rng: np.random.Generator, shape: Shape) -> Array:
    return np.where(rng.random(shape) < 0.3, np.nan, rng.normal(size=shape))


BUILTIN_LOSSES: list[tuple[Loss[Any], Shape, Callable[[np.random.Generator, Shape], Array] | None]] = [
    (SumSquaredError(), (3,), None),
    (SumSquaredError(scale=0.5), (1,), None),
    (MeanSquaredError(), (2, 3), None),
    (losses.BinaryCrossEntropy(), (1,), None),
    (losses.BinaryCrossEntropy(), (4,), fractions),
    (losses.SigmoidBinaryCrossEntropy(), (1,), None),
    (losses.SigmoidBinaryCrossEntropy(), (4,), fractions),
    (losses.CrossEntropy(), (4,), None),
    (losses.CrossEntropy(), (2, 4), labels),
    (losses.SoftmaxCrossEntropy(), (4,), None),
    (losses.SoftmaxCrossEntropy(), (2, 4), labels),
    (losses.BinaryCrossEntropy(label_smoothing=0.2), (3,), None),
    (losses.SigmoidBinaryCrossEntropy(pos_weight=3.0, label_smoothing=0.2), (1,), None),
    (losses.SigmoidBinaryCrossEntropy(pos_weight=(0.5, 2.0, 7.0)), (2, 3), answers),
    (losses.CrossEntropy(label_smoothing=0.1), (4,), labels),
    (losses.SoftmaxCrossEntropy(label_smoothing=0.1), (4,), None),
    (losses.SoftmaxCrossEntropy(label_smoothing=0.1), (2, 4), labels),
    (losses.MeanAbsoluteError(), (2, 3), None),
    (losses.Huber(), (3,), None),
    (losses.Huber(delta=0.3), (1,), None),
    (losses.LogCosh(), (3,), None),
    (losses.Poisson(), (3,), None),
    (losses.LogPoisson(), (1,), None),
    (losses.KLDivergence(), (3,), None),
    (losses.KLDivergence(), (2, 4), distributions),
    (losses.Hinge(), (1,), None),
    (losses.Hinge(), (4,), answers),
    (losses.SquaredHinge(), (3,), answers),
    (losses.CategoricalHinge(), (4,), None),
    (losses.CategoricalHinge(), (2, 4), labels),
    (losses.SigmoidFocal(), (1,), None),
    (losses.SigmoidFocal(gamma=0.5, alpha=None), (4,), answers),
    (losses.SoftmaxFocal(), (4,), None),
    (losses.SoftmaxFocal(gamma=0.5, alpha=(1.0, 0.5, 2.0, 4.0)), (2, 4), labels),
    (losses.SoftmaxFocal(gamma=1.0), (4,), distributions),
    (losses.Quantile(), (2, 3), None),
    (losses.Quantile(0.9), (1,), None),
    (losses.Quantile((0.1, 0.5, 0.9)), (3,), one_number),
    (losses.Quantile((0.05, 0.95)), (3, 2), one_number),
    (losses.CosineSimilarity(), (3,), None),
    (losses.CosineSimilarity(), (2, 4), None),
    (losses.IgnoreMissing(losses.Huber(0.5)), (2, 3), with_holes),
    (losses.SumOfLosses([MeanSquaredError(), losses.Huber(0.5)]), (3,), None),
    (losses.SumOfLosses([SumSquaredError(), SumSquaredError(scale=0.5)], weights=(1.0, 3.0)), (3,), None),
    (
        losses.SumOfLosses([OnOutputs(MeanSquaredError(), 0, 1), OnOutputs(losses.SoftmaxCrossEntropy(), 1, 4)]),
        (4,),
        number_and_class,
    ),
    (OnOutputs(losses.Quantile((0.1, 0.9)), 1, 3, targets=(0, 1)), (2, 4), None),
]


def warm_up(step: int) -> float:
    return 0.01 * step


BUILTIN_OPTIMIZERS: list[Optimizer] = [
    SGD(0.1),
    SGD(0.1, momentum=0.9, weight_decay=0.01),
    SGD(0.1, momentum=0.9, nesterov=True),
    SGD(warm_up),
    SGD(schedules.OneCycle(0.1, 8), momentum=0.9),
    optimizers.Adam(),
    AdamW(0.01),
    AdamW(schedules.Warmup(4, then=schedules.Cosine(0.01, 6, end=0.001))),
    optimizers.AMSGrad(),
    optimizers.AMSGrad(warm_up, weight_decay=0.1),
    optimizers.NAdam(),
    optimizers.NAdam(0.01, psi=1, weight_decay=0.1),
    optimizers.RAdam(),
    optimizers.RAdam(0.01, beta2=0.9, weight_decay=0.1),
    optimizers.RAdam(beta2=0.5),
    optimizers.RMSprop(),
    optimizers.RMSprop(0.01, momentum=0.9, weight_decay=0.1),
    optimizers.RMSprop(centered=True),
    optimizers.RMSprop(warm_up, rho=0.99, centered=True, momentum=0.9),
    optimizers.Adagrad(),
    optimizers.Adagrad(0.1, initial=0.1, weight_decay=0.1),
    optimizers.Adadelta(),
    optimizers.Adadelta(rho=0.9, epsilon=1e-4, weight_decay=0.1),
    optimizers.Lion(),
    optimizers.Lion(0.01, weight_decay=0.1),
    optimizers.Rprop(),
    optimizers.Rprop(0.5, grow=2, shrink=0.25),
    Grouped({"*.bias": SGD(0.1), "*": AdamW(0.001)}),
    Grouped({"*.weight": optimizers.NAdam(warm_up), "*": SGD(0.1, momentum=0.9)}, learning_rate=0.5),
    Grouped({"0.bias": optimizers.Rprop(), "*": Grouped({"*.slope": optimizers.Lion(), "*": optimizers.RAdam()})}),
]

BUILTIN_INITIALIZERS: list[Initializer] = [
    initializers.Zeros(),
    initializers.Ones(),
    initializers.Constant(0.5),
    initializers.Uniform(-1, 1),
    initializers.Normal(std=0.1),
    initializers.GlorotUniform(),
    initializers.GlorotNormal(),
    initializers.HeUniform(),
    initializers.HeNormal(),
    initializers.LeCunNormal(),
    initializers.Orthogonal(),
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
