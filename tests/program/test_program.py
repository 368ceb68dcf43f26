"""Training steps in machine code: the same bits as the ordinary step, whatever the network, and errors as ever."""

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import define, field, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from trainings import LAYERS, OPTIMIZERS, both, everything, make_small, problem
from trainings import compiled_kernels as compiled_kernels

from deepbp import Sequential, Trainer
from deepbp.errors import NonFiniteError
from deepbp.kernels import numpy_product
from deepbp.layers import Dense, Layer, ReLU, Sigmoid
from deepbp.losses import (
    BinaryCrossEntropy,
    Huber,
    LogCosh,
    LogPoisson,
    Loss,
    MeanSquaredError,
    Quantile,
    SigmoidBinaryCrossEntropy,
    SigmoidFocal,
    SoftmaxCrossEntropy,
    SquaredHinge,
    SumSquaredError,
)
from deepbp.metrics import Accuracy, MeanAbsoluteError
from deepbp.optimizers import SGD, Adam, AdamW, Optimizer
from deepbp.program import products
from deepbp.program.layout import blas_addresses
from deepbp.training import Callback, programmed
from deepbp.typing import Array

pytestmark = pytest.mark.skipif(
    blas_addresses(np.dtype(np.float64)) is None, reason="the BLAS of this NumPy has no interface that is known"
)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of steps that programs have run, chunk by chunk."""
    made: list[int] = []
    original = programmed.Lowered.run

    def run(self: programmed.Lowered, *arguments: Any) -> int:
        made.append(original(self, *arguments))
        return made[-1]

    monkeypatch.setattr(programmed.Lowered, "run", run)
    return made


LOSSES: list[Loss[Any]] = [
    MeanSquaredError(),
    SumSquaredError(scale=0.5),
    SoftmaxCrossEntropy(),
    SoftmaxCrossEntropy(label_smoothing=0.1, class_weight=0.5),
    BinaryCrossEntropy(),
    SigmoidBinaryCrossEntropy(label_smoothing=0.1),
    SigmoidBinaryCrossEntropy(pos_weight=3.0),
    SigmoidFocal(),
    Huber(0.3),
    LogCosh(),
    LogPoisson(),
    Quantile(0.3),
    SquaredHinge(),
]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    names=st.lists(st.sampled_from(sorted(LAYERS)), min_size=0, max_size=5),
    optimizer=st.sampled_from(OPTIMIZERS),
    loss=st.sampled_from(LOSSES),
    dtype=st.sampled_from(["float32", "float64"]),
    rows=st.integers(1, 40),
    batch_size=st.sampled_from([1, 4, 7, 32, None]),
    options=st.sampled_from([{}, {"clip_norm": 0.1}, {"clip_value": 0.01}, {"accumulate": 2}]),
    outputs=st.integers(1, 3),
    with_metrics=st.booleans(),
    weights=st.sampled_from(["none", "samples", "targets", "classes"]),
    held_out=st.sampled_from([0.0, 0.3]),
)
def test_any_network_trains_to_the_same_bits(
    names: list[str],
    optimizer: Optimizer,
    loss: Loss[Any],
    dtype: str,
    rows: int,
    batch_size: int | None,
    options: dict[str, Any],
    outputs: int,
    with_metrics: bool,
    weights: str,
    held_out: float,
) -> None:
    x, y = problem(loss, rows, outputs := outputs + 1 if isinstance(loss, SoftmaxCrossEntropy) else outputs, dtype)
    metric = Accuracy() if isinstance(loss, SoftmaxCrossEntropy) else MeanAbsoluteError()
    given: dict[str, Any] = {"batch_size": batch_size, "validation_split": held_out if rows > 3 else 0.0}
    if weights == "classes" and isinstance(loss, SoftmaxCrossEntropy):
        given["class_weight"] = {0: 2.0, 1: 0.5}
    elif weights != "none":
        shape = y.shape if weights == "targets" else (rows,)
        given["sample_weight"] = np.random.default_rng(1).integers(0, 3, shape)

    def make() -> Trainer:
        ending = [Sigmoid()] if isinstance(loss, BinaryCrossEntropy) else []
        layers = [*(LAYERS[name]() for name in names), Dense(outputs), *ending]
        net = Sequential(layers, input_shape=3, rng=0, dtype=dtype)
        return Trainer(net, loss, optimizer, metrics=[metric] if with_metrics else [], **options)

    def train(trainer: Trainer) -> None:
        with suppress(NonFiniteError):  # some losses overflow with some layers, in the same step
            trainer.fit(x, y, epochs=3, **given)

    with pytest.MonkeyPatch.context() as patch:
        both(patch, make, train)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", [MeanSquaredError(), SumSquaredError(), SoftmaxCrossEntropy()], ids=repr)
@pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, momentum=0.9), Adam(), AdamW()], ids=repr)
def test_every_step_is_programmed(
    optimizer: Optimizer, loss: Loss[Any], dtype: str, monkeypatch: pytest.MonkeyPatch, runs: list[int]
) -> None:
    """Else the comparisons of bits would compare the ordinary step with itself."""
    monkeypatch.setenv("DEEPBP_PROGRAM", "1")
    net = Sequential([Dense(4), ReLU(), Dense(3), Sigmoid(), Dense(2)], input_shape=3, rng=0, dtype=dtype)
    net.fit(*problem(loss, 30, 2, dtype), loss=loss, optimizer=optimizer, batch_size=4, epochs=2)
    assert sum(runs) == 16


def test_programs_run(monkeypatch: pytest.MonkeyPatch, runs: list[int]) -> None:
    monkeypatch.setenv("DEEPBP_PROGRAM", "1")
    make_small().fit(*problem(MeanSquaredError(), 64, 1, "float64"), batch_size=4)
    assert sum(runs) == 16
    assert len(runs) < 16  # many steps in one call
    monkeypatch.setenv("DEEPBP_PROGRAM", "0")
    make_small().fit(*problem(MeanSquaredError(), 64, 1, "float64"), batch_size=4)
    assert sum(runs) == 16


NEW_PROCESS = """
import hashlib, sys
import numpy as np
from deepbp import Sequential, Trainer
from deepbp.layers import Dense, ReLU, Sigmoid, Tanh
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import Adam
rng = np.random.default_rng(0)
x, y = rng.normal(size=(40, 3)).astype(sys.argv[1]), rng.integers(0, 3, 40)
net = Sequential([Dense(5), ReLU(), Dense(4), Tanh(), Sigmoid(), Dense(3)], input_shape=3, rng=0, dtype=sys.argv[1])
net.fit(x, y, loss=SoftmaxCrossEntropy(), optimizer=Adam(), epochs=3, batch_size=7)
net.predict(x[:2])
print(hashlib.sha256(b"".join(p.value.tobytes() for p in net.parameters())).hexdigest(), file=sys.stderr)
print("numba" in sys.modules)
"""


@pytest.mark.parametrize("dtype", ["float32"])
def test_stored_code_in_new_processes(dtype: str, tmp_path: Path) -> None:
    """The second process compiles nothing, and so imports no Numba; it finds what the code calls."""
    printed, imported = [], []
    for program in "0", "1", "1":
        own = {"DEEPBP_PROGRAM": program, "DEEPBP_KERNELS": "numba"}
        if program == "1":  # what the ordinary steps call need not be compiled here
            own["NUMBA_CACHE_DIR"] = str(tmp_path)
        command = [sys.executable, "-c", NEW_PROCESS, dtype]
        done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed.append(done.stderr)
        imported.append(done.stdout.strip())
    assert imported[-1] == "False"
    assert len(set(printed)) == 1


@pytest.mark.parametrize("bad", range(0, 24, 3))
@pytest.mark.parametrize("non_finite", ["raise", "skip"])
def test_an_overflow_at_any_step(bad: int, non_finite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(MeanSquaredError(), 24, 1, "float64")
    y[bad] = 1e200
    messages = []

    def train(trainer: Trainer) -> None:
        if non_finite == "skip":
            trainer.fit(x, y, batch_size=1, epochs=2)
            messages.append(str(trainer.skipped))
            return
        with pytest.raises(NonFiniteError) as raised:
            trainer.fit(x, y, batch_size=1, epochs=2)
        messages.append(str(raised.value))

    both(monkeypatch, lambda: make_small(non_finite=non_finite), train)
    assert messages[0] == messages[1]


@pytest.mark.parametrize("chosen", [1, 2, 5, 9, 16])
def test_stopped_and_resumed_at_any_step(chosen: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A training that is stored within an epoch goes on to the bits of one that never stopped."""
    x, y = problem(MeanSquaredError(), 24, 1, "float64")

    class Stop(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.steps == chosen:
                trainer.save(tmp_path / "t.npz")
                trainer.stop(now=True)

    def train(trainer: Trainer) -> None:
        first = make_small()
        first.callbacks = [Stop()]
        first.fit(x, y, batch_size=3, epochs=3)
        trainer.callbacks = [Callback()]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(trainer), "callbacks", [Stop()], raising=False)
        trainer.callbacks = [Stop()]
        trainer.load(tmp_path / "t.npz")
        trainer.fit(x, y, batch_size=3, epochs=3)

    both(monkeypatch, make_small, train)
    monkeypatch.setenv("DEEPBP_PROGRAM", "1")
    whole = make_small()
    whole.fit(x, y, batch_size=3, epochs=3)
    resumed = make_small()
    train(resumed)
    assert everything(whole)["weights"] == everything(resumed)["weights"]


def change_weights(trainer: Trainer) -> None:
    for parameter in trainer.model.parameters():
        parameter.value = parameter.value * 0.5


def other_state(trainer: Trainer) -> None:
    trainer.state = {name: copy.deepcopy(value) for name, value in trainer.state.items()}


def freeze(trainer: Trainer) -> None:
    trainer.model.layers[0].freeze()  # type: ignore[attr-defined]


def other_optimizer(trainer: Trainer) -> None:
    trainer.optimizer = SGD(0.02, momentum=0.5) if "velocity" in trainer.state else SGD(0.02)


def second_trainer(trainer: Trainer) -> None:
    other = Trainer(trainer.model, MeanSquaredError(), SGD(0.3))
    other.fit(*problem(MeanSquaredError(), 8, 1, "float64"), batch_size=2)


@pytest.mark.parametrize("change", [change_weights, other_state, freeze, other_optimizer, second_trainer])
@pytest.mark.parametrize("when", ["between", "epoch", "step"])
def test_no_address_is_out_of_date(
    change: Callable[[Trainer], None], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a user or a callback replaces, the program trains what the model holds then."""
    x, y = problem(MeanSquaredError(), 24, 1, "float64")

    class Change(Callback):
        def on_epoch_end(self, trainer: Trainer, row: Any) -> None:
            if when == "epoch" and trainer.epoch == 0:
                change(trainer)

    class ChangeAtStep(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.steps == 5:
                change(trainer)

    def train(trainer: Trainer) -> None:
        trainer.callbacks = [ChangeAtStep() if when == "step" else Change()]
        trainer.fit(x, y, batch_size=5, epochs=2)
        if when == "between":
            change(trainer)
        trainer.fit(x, y, batch_size=5, epochs=2)

    both(monkeypatch, lambda: make_small(optimizer=SGD(0.1, momentum=0.9)), train)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_train_on_their_own(copied: Callable[[Trainer], Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(MeanSquaredError(), 24, 1, "float64")

    def train(trainer: Trainer) -> None:
        trainer.fit(x, y, batch_size=5)
        other = copied(trainer)
        other.fit(x, y, batch_size=5)
        trainer.fit(x, y, batch_size=5)
        assert everything(trainer)["weights"] == everything(other)["weights"]

    both(monkeypatch, make_small, train)


class Raises(Callback):
    """Raises in the middle of a training."""

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        if trainer.steps == 3:
            raise RuntimeError("enough")


def test_subnormal_numbers_count_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The floating-point control word is the caller's again, also after an exception."""
    monkeypatch.setenv("DEEPBP_PROGRAM", "1")
    tiny = np.float32(1e-40)
    x, y = problem(MeanSquaredError(), 24, 1, "float64")
    make_small().fit(x, y, batch_size=5)
    assert tiny * np.float32(1) != 0
    with pytest.raises(RuntimeError, match="enough"):
        make_small(callbacks=[Raises()]).fit(x, y, batch_size=5)
    assert tiny * np.float32(1) != 0
    seen: list[bool] = []

    @define(eq=False)
    class Looks(Layer[None]):
        """y = x; remembers whether subnormal numbers were 0 when it ran."""

        looked: list[bool] = field(default=seen)

        def forward(self, x: Array) -> tuple[Array, None]:
            self.looked.append(bool(tiny * np.float32(1) == 0))
            return x, None

        def backward(self, saved: None, delta: Array) -> Array:
            return delta

    net = Sequential([Dense(4), Looks(seen), Dense(1)], input_shape=3, rng=0, dtype="float64")
    net.fit(x, y, loss=MeanSquaredError(), optimizer=SGD(0.1), batch_size=5)
    assert seen
    assert not any(seen)


def test_an_error_in_a_layer_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is raised by the ordinary step: with its place, and with the weights of the last complete update."""

    @define(eq=False)
    class Fails(Layer[None]):
        """y = x, five times."""

        calls: int = field(default=0, init=False)

        def forward(self, x: Array) -> tuple[Array, None]:
            self.calls += 1
            if self.calls >= 5:
                raise ValueError("no more")
            return x, None

        def backward(self, saved: None, delta: Array) -> Array:
            return delta

    x, y = problem(MeanSquaredError(), 24, 1, "float64")
    notes = []

    def train(trainer: Trainer) -> None:
        with pytest.raises(ValueError, match="no more") as raised:
            trainer.fit(x, y, batch_size=4)
        notes.append((str(raised.value), raised.value.__notes__))

    def make() -> Trainer:
        net = Sequential([Dense(4), Fails(), Dense(1)], input_shape=3, rng=0, dtype="float64")
        return Trainer(net, MeanSquaredError(), SGD(0.1))

    both(monkeypatch, make, train)
    assert notes[0] == notes[1]


def test_a_subclass_with_its_own_formula_is_not_run_as_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    @define(eq=False)
    class Leaky(ReLU):
        """A rectifier that keeps a tenth of negative inputs."""

        def forward(self, z: Array) -> tuple[Array, Array]:
            return np.where(z > 0, z, z / 10), z

        def backward(self, z: Array, delta: Array) -> Array:
            return np.where(z > 0, delta, delta / 10)

    x, y = problem(MeanSquaredError(), 24, 1, "float64")

    def make() -> Trainer:
        net = Sequential([Dense(4), Leaky(), Dense(1)], input_shape=3, rng=0, dtype="float64")
        return Trainer(net, MeanSquaredError(), SGD(0.1))

    both(monkeypatch, make, lambda trainer: trainer.fit(x, y, batch_size=4))


def test_a_field_named_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    @define(eq=False)
    class Clip(Layer[Array]):
        """y = max(x, lower)."""

        lower: float = 0.0  # type: ignore[assignment]

        def forward(self, x: Array) -> tuple[Array, Array]:
            return np.maximum(x, self.lower), x

        def backward(self, x: Array, delta: Array) -> Array:
            return delta * (x > self.lower)

    x, y = problem(MeanSquaredError(), 24, 1, "float64")

    def make() -> Trainer:
        net = Sequential([Dense(4), Clip(0.1), Dense(1)], input_shape=3, rng=0, dtype="float64")
        return Trainer(net, MeanSquaredError(), SGD(0.1))

    both(monkeypatch, make, lambda trainer: trainer.fit(x, y, batch_size=4))


def test_a_subclass_with_a_penalty_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    @define(eq=False)
    class Counted(Dense):
        """A dense layer whose units cost something each."""

        def penalty(self, saved: Any) -> float:
            return 0.25 * self.units

    x, y = problem(MeanSquaredError(), 24, 1, "float64")

    def make() -> Trainer:
        net = Sequential([Counted(4), Sigmoid(), Dense(1)], input_shape=3, rng=0, dtype="float64")
        return Trainer(net, MeanSquaredError(), SGD(0.1))

    def train(trainer: Trainer) -> None:
        trainer.fit(x, y, batch_size=4)
        assert trainer.history["penalty"] == [1.0]

    both(monkeypatch, make, train)


def test_more_rows_than_a_gradient_is_summed_over_at_once(monkeypatch: pytest.MonkeyPatch, runs: list[int]) -> None:
    x, y = problem(MeanSquaredError(), 65_540, 1, "float32")

    def make() -> Trainer:
        return Trainer(Sequential([Dense(1)], input_shape=3, rng=0), MeanSquaredError(), SGD(0.1))

    both(monkeypatch, make, lambda trainer: trainer.fit(x, y, batch_size=None))
    assert runs == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_in_tiles(dtype: str, monkeypatch: pytest.MonkeyPatch, runs: list[int]) -> None:
    """The products that compiled kernels compute, on any processor, and in a last batch of fewer rows, too."""
    monkeypatch.setattr(numpy_product, "has_wide_registers", lambda: True)
    monkeypatch.setattr(numpy_product, "SMALLEST", 1000)
    kinds: set[str] = set()
    original = products.in_tiles

    def in_tiles(kind: str, sizes: products.Sizes) -> tuple[int, ...] | None:
        numbers = original(kind, sizes)
        kinds.update([kind] if numbers else [])
        return numbers

    monkeypatch.setattr(products, "in_tiles", in_tiles)
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(83, 600)), rng.integers(0, 5, 83)

    def make() -> Trainer:
        net = Sequential([Dense(33), ReLU(), Dense(18), ReLU(), Dense(5)], input_shape=600, rng=0, dtype=dtype)
        return Trainer(net, SoftmaxCrossEntropy(), Adam(0.01))

    predictions = []

    def train(trainer: Trainer) -> None:
        trainer.fit(x, labels, epochs=3, batch_size=30)
        predictions.append(trainer.model.predict(x[:7]).tobytes())

    both(monkeypatch, make, train)
    assert kinds == {"product", "gradient", "moved"}
    assert sum(runs) == 9
    assert predictions[0] == predictions[1]


def test_arrays_may_be_kept_by_classes_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs use their memory again in the next step."""
    kept: list[list[Array]] = []

    @define(eq=False)
    class Keeps(Layer[None]):
        """y = x."""

        def forward(self, x: Array) -> tuple[Array, None]:
            kept[-1].append(x)
            return x, None

        def backward(self, saved: None, delta: Array) -> Array:
            kept[-1].append(delta)
            return delta

    class KeepingLoss(MeanSquaredError):  # noqa: N818
        """The mean squared error."""

        def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
            kept[-1].extend([prediction, target])
            return super().forward(prediction, target, sample_weight)

    x, y = problem(MeanSquaredError(), 12, 1, "float64")

    def make() -> Trainer:
        net = Sequential([Dense(4), Keeps(), Dense(1)], input_shape=3, rng=0, dtype="float64")
        return Trainer(net, KeepingLoss(), SGD(0.1))

    def train(trainer: Trainer) -> None:
        kept.append([])
        trainer.fit(x, y, batch_size=5)

    both(monkeypatch, make, train)
    assert [one.tobytes() for one in kept[0]] == [one.tobytes() for one in kept[1]]


class Doubling:
    """A mixin, which neither attrs nor a base class sees."""

    def forward(self, *arrays: Any) -> Any:
        y, saved = super().forward(*arrays)  # type: ignore[misc]
        return 2 * y, saved

    def backward(self, *arrays: Any) -> Any:
        return 2 * super().backward(*arrays)  # type: ignore[misc]


@define(eq=False)
class DoubledSigmoid(Doubling, Sigmoid):
    """y = 2 σ(z)."""


@frozen
class DoubledError(Doubling, MeanSquaredError):
    """Twice the mean squared error."""


def test_mixins(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(MeanSquaredError(), 24, 1, "float64")

    def make() -> Trainer:
        net = Sequential([Dense(4), DoubledSigmoid(), Dense(1)], input_shape=3, rng=0, dtype="float64")
        return Trainer(net, DoubledError(), SGD(0.1))

    both(monkeypatch, make, lambda trainer: trainer.fit(x, y, batch_size=4))
