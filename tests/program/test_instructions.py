"""Which layers, losses and optimizers have instructions, and that these give the bits of the ordinary passes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from trainings import both, problem
from trainings import compiled_kernels as compiled_kernels

from deepbp import Sequential, Trainer
from deepbp.errors import DataError
from deepbp.layers import (
    CELU,
    ELU,
    GELU,
    L1,
    L1L2,
    L2,
    SELU,
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    Gaussian,
    GroupNorm,
    HardSigmoid,
    HardSwish,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    Parallel,
    Penalized,
    PReLU,
    ReLU,
    ReLU6,
    Reshape,
    Residual,
    RMSNorm,
    Sigmoid,
    SiLU,
    Sine,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from deepbp.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Hinge,
    Huber,
    LogCosh,
    LogPoisson,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
    Quantile,
    SigmoidBinaryCrossEntropy,
    SigmoidFocal,
    SoftmaxCrossEntropy,
    SquaredHinge,
    SumSquaredError,
)
from deepbp.optimizers import SGD, Adadelta, Adagrad, AdamW, AMSGrad, Lion, Optimizer, RMSprop
from deepbp.program import products
from deepbp.program.layout import DOT, GEMM, GEMV, KERNEL, LENGTH, address_of, blas_addresses
from deepbp.program.store import kernel_address
from deepbp.training import programmed

pytestmark = pytest.mark.skipif(
    blas_addresses(np.dtype(np.float64)) is None, reason="the BLAS of this NumPy has no interface that is known"
)

Layers = Callable[[], list[Layer[Any]]]
STACKS: dict[str, Layers] = {
    "activations": lambda: [Dense(7), Tanh(), ReLU6(), Dense(6), LeakyReLU(0.1), Softmax()],
    "exponentials": lambda: [Dense(7), ELU(0.7), Dense(5), CELU(0.5), Dense(4), SELU(), Softplus(2.0), LogSigmoid()],
    "hard": lambda: [Dense(7), HardSigmoid(), Dense(5), HardSwish(), Dense(17), Softsign(), ReLU(), Sigmoid()],
    "gates": lambda: [Dense(7), SiLU(), Dense(5), GELU(), Dense(17), GELU("tanh"), HardSwish(), SiLU()],
    "rare": lambda: [Dense(7), Mish(), Sine(3.0), Dense(17), LogSoftmax(), Gaussian(), Dense(40), LogSoftmax(), Tanh()],
    "slopes": lambda: [PReLU(), Dense(17), PReLU(), Dense(6), Reshape((2, 3)), PReLU(), PReLU(shared=True), Flatten()],
    "one slope": lambda: [PReLU(shared=True), Dense(1), PReLU(), Dense(150), PReLU(shared=True)],
    "first": lambda: [Tanh(), LayerNorm(), Dense(3), Softsign(), GELU(), HardSwish()],
    "batch": lambda: [BatchNorm(), Dense(18), BatchNorm(momentum=0.5), ReLU()],
    "layer": lambda: [LayerNorm(), Dense(18), LayerNorm(), RMSNorm(), GELU()],
    "places": lambda: [
        Reshape((3, 1)),
        BatchNorm(),
        Flatten(),
        Dense(24),
        Reshape((2, 3, 4)),
        GroupNorm(2),
        LayerNorm(),
    ],
    "planes": lambda: [Dense(36), Reshape((2, 18)), BatchNorm(), RMSNorm(), GroupNorm(3), Softmax(), Flatten()],
    "dropout": lambda: [Dropout(0.2), Dense(7), Dropout(0.5), ReLU(), Dropout(0.1)],
    "penalties": lambda: [
        Penalized(Dense(7), weights=L2(0.01)),
        Penalized([Dense(5, use_bias=False), ReLU(), Dense(150)], weights=L1(0.003)),
        Penalized(Residual([Dense(1)], Dense(1)), weights=L1L2(0.1, 0.2)),
    ],
    "residual": lambda: [Dense(5), Residual([Dense(5), Tanh()]), Residual([Dropout(0.2), Dense(4)], Dense(4)), ReLU()],
    "parallel": lambda: [Dense(4), Parallel([Tanh(), None, BatchNorm()], merge="add"), Parallel([Dense(2)] * 1)],
}


def train(layers: Layers, dtype: str, **options: Any) -> Callable[[], Trainer]:
    def make() -> Trainer:
        net = Sequential([*layers(), Flatten(), Dense(2)], input_shape=3, rng=0, dtype=dtype)
        return Trainer(net, MeanSquaredError(), SGD(0.01, momentum=0.9), **options)

    return make


@pytest.fixture
def in_python(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The layers and losses of programs that ran as functions of Python; "step" if there were none at all."""
    found = {"step"}
    original = programmed.Lowered._run

    def run(self: programmed.Lowered, *arguments: Any) -> int:
        found.discard("step")
        found.update(self.program.names, [] if self._updates or self._kind != "step" else ["update"])
        return original(self, *arguments)

    monkeypatch.setattr(programmed.Lowered, "_run", run)
    return found


@pytest.mark.parametrize(("name", "dtype"), [(name, ("float32", "float64")[len(name) % 2]) for name in STACKS])
def test_layers(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch, in_python: set[str]) -> None:
    """Built-in layers run in machine code, with the bits of the ordinary passes; the last batch has a single row."""
    x, y = problem(MeanSquaredError(), 13, 2, dtype)
    both(monkeypatch, train(STACKS[name], dtype), lambda trainer: trainer.fit(x, y, batch_size=4, epochs=3))
    assert in_python == ({"Parallel"} if name == "parallel" else set())  # which concatenates a branch


UPDATES: list[Optimizer] = [
    SGD(0.01, weight_decay=0.1),
    SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    AdamW(weight_decay=0.1),
    AMSGrad(weight_decay=0.1),
    Lion(lambda step: 0.01 / (1 + step), weight_decay=0.1),
    Adagrad(),
    Adagrad(weight_decay=0.1),
    Adadelta(weight_decay=0.1),
    RMSprop(),
    RMSprop(momentum=0.5, centered=True, weight_decay=0.1),
]


@pytest.mark.parametrize("number", range(len(UPDATES)))
def test_updates(number: int, monkeypatch: pytest.MonkeyPatch, in_python: set[str]) -> None:
    optimizer, dtype = UPDATES[number], ("float32", "float64")[number % 2]
    x, y = problem(MeanSquaredError(), 13, 2, dtype)

    def make() -> Trainer:
        net = Sequential([Dense(7), ReLU(), LayerNorm(), Dense(2)], input_shape=3, rng=0, dtype=dtype)
        return Trainer(net, MeanSquaredError(), optimizer)

    both(monkeypatch, make, lambda trainer: trainer.fit(x, y, batch_size=4, epochs=3))
    assert in_python == set()


def weights_of(kind: str, shape: tuple[int, ...], dtype: str) -> Any:
    """Weights of samples or of single targets, some of them 0, or none."""
    sizes = {"none": None, "samples": shape[:1], "targets": shape}[kind]
    return None if sizes is None else (np.arange(np.prod(sizes)).reshape(sizes) % 4 / 2).astype(dtype)


@pytest.mark.parametrize("outputs", [1, 2, 50])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weights", ["none", "samples", "targets"])
def test_losses(weights: str, outputs: int, dtype: str, monkeypatch: pytest.MonkeyPatch, in_python: set[str]) -> None:
    """Means are added in NumPy's order, whose runs of 128 numbers a batch of 50 outputs exceeds."""
    x, y = problem(MeanSquaredError(), 13, outputs, dtype)
    y[::3] = 0
    losses: list[tuple[Loss[Any], Any]] = [
        (MeanSquaredError(), y),
        (SumSquaredError(scale=0.3), y),
        (MeanAbsoluteError(), y),
        (Huber(0.3), y),
        (SigmoidBinaryCrossEntropy(), y),
        (SigmoidBinaryCrossEntropy(label_smoothing=0.1), y),
        (SigmoidBinaryCrossEntropy(pos_weight=3.0), y),
        (SigmoidBinaryCrossEntropy(pos_weight=tuple(range(1, outputs + 1)), label_smoothing=0.1), y),
        (LogCosh(), y),
        (LogPoisson(), 3 * y),
        (Quantile(0.3), y),
        (Quantile(tuple(((np.arange(outputs) + 1) / (outputs + 1)).tolist())), y[:, :1]),
        (Hinge(), np.round(y)),
        (SquaredHinge(), np.round(y)),
        (SigmoidFocal(), np.round(y)),
        (SigmoidFocal(1.5, None), np.round(y)),
        (BinaryCrossEntropy(), y),
        (BinaryCrossEntropy(label_smoothing=0.1), y),
        (Poisson(), 3 * y),
    ]
    for loss, target in losses:

        def make(loss: Loss[Any] = loss) -> Trainer:
            ending = [Sigmoid()] if loss.expects in ("probabilities", "rates") else []
            net = Sequential([Dense(7), ReLU(), Dense(outputs), *ending], input_shape=3, rng=0, dtype=dtype)
            return Trainer(net, loss, SGD(0.01))

        def fit(trainer: Trainer, target: Any = target) -> None:
            one_target = target.shape != trainer.model.predict(x).shape  # a weight for each would not fit the outputs
            own = weights_of("samples" if one_target and weights == "targets" else weights, target.shape, dtype)
            trainer.fit(x, target, sample_weight=own, batch_size=4, epochs=3, shuffle=False)

        both(monkeypatch, make, fit)
    assert in_python == set()


@pytest.mark.parametrize("classes", [3, 30])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("of_classes", [False, True])
@pytest.mark.parametrize("of_samples", [False, True])
@pytest.mark.parametrize("targets", ["labels", "rows", "ignored", "places"])
def test_cross_entropies(
    targets: str, of_samples: bool, of_classes: bool, smoothing: float, classes: int, monkeypatch: pytest.MonkeyPatch,
    in_python: set[str],
) -> None:  # fmt: skip
    """With weights of samples and classes, smoothed labels, one-hot rows, ignored labels, and labels of places."""
    dtype = ("float32", "float64")[(of_samples + of_classes + classes) % 2]
    x, _ = problem(MeanSquaredError(), 13, 2, dtype)
    shape = (13, 2) if targets == "places" else (13,)
    y = np.arange(np.prod(shape)).reshape(shape) % classes
    if targets == "ignored":
        y[::3] = -100
    elif targets == "rows":
        y = np.eye(classes, dtype=dtype)[y]
    loss = SoftmaxCrossEntropy(
        class_weight=tuple(np.linspace(0.5, 2, classes).tolist()) if of_classes else None,
        label_smoothing=smoothing,
        ignore_label=-100 if targets == "ignored" else None,
    )

    def make() -> Trainer:
        ending = [Dense(2 * classes), Reshape((2, classes))] if targets == "places" else [Dense(classes)]
        return Trainer(Sequential([Dense(7), ReLU(), *ending], input_shape=3, rng=0, dtype=dtype), loss, SGD(0.01))

    def fit(trainer: Trainer) -> None:
        own = weights_of("samples", shape, dtype) if of_samples else None
        trainer.fit(x, y, sample_weight=own, batch_size=4, epochs=2, shuffle=False)

    if targets == "places" and of_samples:
        return  # one weight for both labels of a sample is repeated in Python
    both(monkeypatch, make, fit)
    assert in_python == set()


@pytest.mark.parametrize("places", [1, 2])
@pytest.mark.parametrize("of_classes", [False, True])
@pytest.mark.parametrize("of_samples", [False, True])
def test_cross_entropies_of_probabilities(
    of_samples: bool, of_classes: bool, places: int, monkeypatch: pytest.MonkeyPatch, in_python: set[str]
) -> None:
    dtype = ("float32", "float64")[(of_samples + places) % 2]
    x, _ = problem(MeanSquaredError(), 13, 2, dtype)
    shape = (13, places)[:places]
    y, own = np.arange(np.prod(shape)).reshape(shape) % 3, weights_of("targets", shape, dtype) if of_samples else None
    loss = CrossEntropy(class_weight=(0.5, 1.0, 3.0) if of_classes else None)

    def make() -> Trainer:
        ending = [Dense(3 * places), Reshape((places, 3)[2 - places :]), Softmax()]
        return Trainer(Sequential([Dense(7), ReLU(), *ending], input_shape=3, rng=0, dtype=dtype), loss, SGD(0.1))

    def fit(trainer: Trainer) -> None:
        trainer.fit(x, y, sample_weight=own, batch_size=4, epochs=3, shuffle=False)

    both(monkeypatch, make, fit)
    assert in_python == set()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_rows_that_are_not_one_hot(smoothing: float, monkeypatch: pytest.MonkeyPatch, in_python: set[str]) -> None:
    """A function of Python within the instruction serves batches with such rows, with their weights."""
    x, y = problem(MeanSquaredError(), 13, 3, "float64")
    y = np.where(np.arange(13)[:, None] < 6, y / y.sum(axis=1, keepdims=True), np.eye(3)[np.arange(13) % 3])

    def make() -> Trainer:
        net = Sequential([Dense(3)], input_shape=3, rng=0, dtype="float64")
        return Trainer(net, SoftmaxCrossEntropy(label_smoothing=smoothing), SGD(0.01))

    def fit(trainer: Trainer) -> None:
        trainer.fit(x, y, sample_weight=np.arange(13.0), batch_size=4, epochs=2, shuffle=False)

    both(monkeypatch, make, fit)
    assert in_python == set()


@pytest.mark.parametrize(
    ("loss", "right", "wrong", "message"),
    [
        (SigmoidBinaryCrossEntropy(), 0.5, 2.0, "expected numbers from 0 to 1"),
        (Hinge(), 1.0, 0.5, "expected answers 0 or 1"),
        (LogPoisson(), 2.0, -1.0, "expected numbers of at least 0"),
    ],
    ids=str,
)
def test_a_target_out_of_range_is_refused_by_the_ordinary_step(
    loss: Loss[Any], right: float, wrong: float, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPBP_PROGRAM", "1")
    x, y = problem(MeanSquaredError(), 4, 2, "float64")
    net = Sequential([Dense(2)], input_shape=3, rng=0, dtype="float64")
    trainer = Trainer(net, loss, SGD(0.01))
    for _ in range(3):
        trainer.step(x, np.full_like(y, right))
    before = net.layers[0].weight.value.copy()
    with pytest.raises(DataError, match=message):
        trainer.step(x, np.array([[right, right]] * 3 + [[right, wrong]]))
    np.testing.assert_array_equal(net.layers[0].weight.value, before)


@pytest.mark.parametrize("bad", [0, 5, 12])
def test_an_overflow_takes_back_random_numbers_and_averages(bad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ordinary step, which takes over and skips the batch, draws the same numbers, and averages as ever."""
    x, y = problem(MeanSquaredError(), 13, 2, "float32")
    y[bad] = 1e30

    def layers() -> list[Layer[Any]]:
        return [Dense(4), Dropout(0.3), BatchNorm(), Dropout(0.2)]

    make = train(layers, "float32", non_finite="skip")
    both(monkeypatch, make, lambda trainer: trainer.fit(x, y, batch_size=2, epochs=3, shuffle=False))


def test_an_overflow_of_a_variance_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(MeanSquaredError(), 12, 2, "float32")
    x[5] = 1e30
    make = train(lambda: [BatchNorm(), Dense(3)], "float32", non_finite="skip")

    def fit(trainer: Trainer) -> None:
        trainer.fit(x, y, batch_size=3, epochs=2, shuffle=False)
        assert trainer.skipped == 2

    both(monkeypatch, make, fit)


@pytest.mark.parametrize("dtype", [np.dtype("float32"), np.dtype("float64")], ids=str)
@pytest.mark.parametrize("sizes", [(1, 1, 1), (4, 3, 1), (3, 1, 5), (2, 8, 8), (5, 17, 9), (3, 4, 30), (7, 33, 16)])
def test_products_are_right_in_each_of_their_forms(sizes: tuple[int, int, int], dtype: "np.dtype[Any]") -> None:
    """Also in forms that this processor's BLAS would not have the bits for, or that are slower here."""
    rng, context = np.random.default_rng(0), np.zeros(LENGTH, np.int64)
    context[[GEMM, GEMV, DOT]] = blas_addresses(dtype) or 0
    for kind, forms in products._FORMS.items():
        for name, ones in forms.items():
            if any(sizes[one] > 1 for one in ones):
                continue
            a, b, expected = (rng.standard_normal(shape, dtype) for shape in products._PRODUCTS[kind][0](*sizes))
            products.in_numpy(kind, a, b, expected)
            out = np.full_like(expected, np.nan)
            scratch = np.full(products.scratch_size(*sizes[1:]), np.nan, dtype)
            arrays = [0, *map(address_of, (a, b, out)), *sizes[1:], address_of(scratch)]
            operands = np.array(arrays, np.int64)
            KERNEL(kernel_address(name, dtype))(address_of(operands), 0, sizes[0], address_of(context))
            np.testing.assert_allclose(out, expected, rtol=0, atol=64 * float(np.finfo(dtype).eps), err_msg=name)


def test_the_logarithm_of_the_cross_entropy() -> None:
    from numba import njit

    from deepbp.kernels.numba_math import log1p_positive

    logarithm: Any = njit(lambda x: log1p_positive(x))
    for dtype in (np.float32, np.float64):
        powers = 10.0 ** np.random.default_rng(0).uniform(-30, 30, 2000)
        x = np.concatenate([powers, [0, 1, np.nextafter(1, 2), 3, 2.0**60]]).astype(dtype)
        exact = np.log1p(x.astype(np.longdouble))
        np.testing.assert_allclose([logarithm(one) for one in x], exact, rtol=4 * float(np.finfo(dtype).eps), atol=0)
