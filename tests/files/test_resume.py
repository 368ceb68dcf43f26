"""A training that is stored and read back goes on to the same bytes as one that never stopped."""

import subprocess
import sys
from collections.abc import Iterator
from inspect import isabstract
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import define, field
from safetensors.numpy import save_file

import deepbp
from deepbp import Sequential, Trainer, kernels, optimizers
from deepbp.errors import ConfigurationError, FileFormatError
from deepbp.layers import Activation, BatchNorm, Dense, Dropout, ReLU
from deepbp.losses import SoftmaxCrossEntropy
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
from deepbp.optimizers.schedules import Cosine, Warmup
from deepbp.parameters import Buffer, Parameter
from deepbp.training import Accuracy, Callback, EarlyStopping, ModelCheckpoint, ReduceOnPlateau, WeightAverage

ROWS, FEATURES, CLASSES, BATCH, EPOCHS = 70, 6, 3, 16, 4
STEPS = 5  # an epoch, the last batch a short one


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(ROWS, FEATURES)).astype("f4")
    return x, (x[:, 0] > 0) + (x[:, 1] > 0).astype(int)


X, Y = data()

OPTIMIZERS: list[Optimizer] = [
    SGD(0.1),
    SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    Adam(Warmup(4, Cosine(0.02, 15))),
    AdamW(0.01),
    AMSGrad(0.01),
    NAdam(0.01),
    RAdam(0.01),
    RMSprop(0.01, momentum=0.9, centered=True),
    Adagrad(0.1),
    Adadelta(),
    Lion(0.001),
    Rprop(),
    Grouped({"*.bias": SGD(0.1, momentum=0.9), "0.*": Adam(0.001), "*": AdamW(Cosine(0.01, 15))}),
]


class Rows:
    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        return X[row], Y[row]


def stream() -> Iterator[tuple[Any, Any]]:
    for start in range(0, ROWS, BATCH):
        yield X[start : start + BATCH], Y[start : start + BATCH]


@define(eq=False)
class Leave(Callback):
    """Stores the training after so many updates, and leaves it in the middle."""

    path: Path
    after: int
    left: bool = field(default=False, init=False)

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        if trainer.steps == self.after and not self.left:
            trainer.save(self.path)
            self.left = True
            trainer.stop(now=True)


@define(eq=False)
class Keep(Leave):
    """Takes the place of Leave in a training that is not left."""

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        pass


Keep.__name__ = "Leave"


def trainer(callbacks: list[Callback], optimizer: Optimizer, **options: Any) -> Trainer:
    layers = [Dense(8), BatchNorm(), ReLU(), Dropout(0.3), Dense(CLASSES)]
    net = Sequential(layers, input_shape=FEATURES, rng=1)
    return Trainer(net, SoftmaxCrossEntropy(), optimizer, metrics=[Accuracy()], callbacks=callbacks, **options)


def bytes_of(trained: Trainer) -> list[bytes]:
    held: list[Parameter | Buffer] = [*trained.model.parameters(), *trained.model.named_buffers().values()]
    state = [value.tobytes() for value in trained.state.values() if isinstance(value, np.ndarray)]
    return [one.value.tobytes() for one in held] + state


def assert_resumes(
    after: int, path: Path, optimizer: Optimizer, x: Any = X, y: Any = Y, more: Any = list, **options: Any
) -> None:
    fit = {"epochs": EPOCHS, "batch_size": BATCH, **options.pop("fit", {})}
    whole = trainer([*more(), Keep(path, after)], optimizer, **options)
    whole.fit(x, y, **fit)
    left = trainer([*more(), Leave(path, after)], optimizer, **options)
    left.fit(x, y, **fit)
    assert left.steps == after < whole.steps
    resumed = trainer([*more(), Keep(path, after)], optimizer, **options)
    resumed.generator.random(7)  # whatever happened before, all that counts is in the file
    resumed.load(path)
    resumed.fit(x, y, **fit)
    assert bytes_of(resumed) == bytes_of(whole)
    assert resumed.history == whole.history
    assert (resumed.epoch, resumed.steps, resumed.skipped) == (whole.epoch, whole.steps, whole.skipped)
    assert resumed.generator.bit_generator.state == whole.generator.bit_generator.state
    x_more = np.random.default_rng(9).normal(size=(20, FEATURES))
    assert resumed.model.predict(x_more).tobytes() == whole.model.predict(x_more).tobytes()


@pytest.mark.parametrize("after", [1, 4, 5, 7, 10, 19])
def test_at_any_step(after: int, tmp_path: Path) -> None:
    assert_resumes(after, tmp_path / "run.npz", Adam(0.01))


ACCUMULATED = {"accumulate": 2}


@pytest.mark.parametrize(
    ("x", "y", "fit", "options"),
    [
        (X, Y, {"shuffle": False}, {}),
        (X, Y, {"validation_split": 0.2}, {}),
        (X, Y, {"validation_data": (X[:9], Y[:9]), "prefetch": 2}, {}),
        (X, Y, {"sample_weight": np.linspace(0.5, 2, ROWS), "class_weight": {0: 1.0, 1: 2.0, 2: 3.0}}, {}),
        (Rows(), None, {"prefetch": 1}, {}),
        (stream, None, {}, {}),
        (X, Y, {}, {"accumulate": 2}),
        (X, Y, {}, {"clip_norm": 0.1, "rng": 8}),
    ],
    ids=["in order", "split", "prefetched", "weights", "items", "stream", "accumulated", "generator of its own"],
)
def test_data_of_any_kind(x: Any, y: Any, fit: Any, options: Any, tmp_path: Path) -> None:
    assert_resumes(7, tmp_path / "run.npz", AdamW(0.01), x, y, fit=fit, **options)


def test_data_on_the_disk(tmp_path: Path) -> None:
    (X * 100).astype("i2").tofile(tmp_path / "x")
    x = np.memmap(tmp_path / "x", dtype="i2", mode="r").reshape(ROWS, FEATURES)
    assert_resumes(8, tmp_path / "run.npz", SGD(0.01, momentum=0.9), x)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: repr(optimizer)[:60])
def test_optimizers_and_schedules(optimizer: Optimizer, tmp_path: Path) -> None:
    assert_resumes(13, tmp_path / "run.npz", optimizer)


def test_every_optimizer_is_among_them() -> None:
    every = {getattr(optimizers, name) for name in optimizers.__all__}
    kinds = {one for one in every if isinstance(one, type) and issubclass(one, Optimizer) and not isabstract(one)}
    assert len(kinds) > 10
    assert {type(optimizer) for optimizer in OPTIMIZERS} == kinds


def callbacks() -> list[Callback]:
    return [
        EarlyStopping("loss", patience=2, min_delta=0.05),
        ReduceOnPlateau("loss", patience=1, factor=0.5, min_delta=0.3),
        WeightAverage(0.9),
    ]


@pytest.mark.parametrize("after", [7, 13])
def test_callbacks_go_on_where_they_were(after: int, tmp_path: Path) -> None:
    assert_resumes(after, tmp_path / "run.npz", Adam(0.01), more=callbacks, fit={"epochs": 12})


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import test_resume as t
from pathlib import Path
trained = t.trainer([t.ModelCheckpoint(sys.argv[1], every_steps=3)], t.Adam(0.01))
if Path(sys.argv[1]).exists():
    trained.load(sys.argv[1])
trained.fit(t.X, t.Y, epochs=int(sys.argv[2]), batch_size=t.BATCH)
sys.stdout.write(repr([trained.history, [part.hex() for part in t.bytes_of(trained)]]))
"""


def test_in_another_process_as_a_script_that_is_run_again(tmp_path: Path) -> None:
    def run(name: str, epochs: int) -> str:
        command = [sys.executable, "-c", SCRIPT.format(folder=str(Path(__file__).parent)), name, str(epochs)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    whole = run("whole.npz", EPOCHS)
    run("parts.npz", 1)
    assert run("parts.npz", EPOCHS) == whole
    assert run("parts.npz", EPOCHS) == whole  # which has nothing left to do


class Stop(Callback):
    """Leaves the training in the middle, once."""

    after = 12

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        if trainer.steps == self.after:
            trainer.stop(now=True)


def test_what_is_stored_is_where_the_training_stood_and_not_the_best_put_back(tmp_path: Path) -> None:
    """EarlyStopping gives the network its best weights when it is left; going on needs those it had."""

    def run(*more: Callback) -> Trainer:
        trained = trainer([EarlyStopping("loss", patience=1), *more], SGD(3.0))
        if (tmp_path / "run.npz").exists():
            trained.load(tmp_path / "run.npz")
        trained.fit(X, Y, epochs=EPOCHS, batch_size=BATCH)
        return trained

    whole = run()
    checkpoint = ModelCheckpoint(tmp_path / "run.npz", every_epochs=None)
    assert run(Stop(), checkpoint).steps == Stop.after
    resumed = run(Stop(), checkpoint)
    assert resumed.history == whole.history
    assert bytes_of(resumed) == bytes_of(whole)


@pytest.mark.parametrize("ending", ["npz", "safetensors", "NPZ"])
def test_the_file_of_a_training_holds_its_network(ending: str, tmp_path: Path) -> None:
    path, trained = tmp_path / f"run.{ending}", trainer([], Adam(0.01), rng=3)
    trained.fit(X, Y)
    trained.save(path)
    net = deepbp.load(path)
    assert net.predict(X).tobytes() == trained.model.predict(X).tobytes()
    other = Sequential([*trainer([], Adam()).model.layers], input_shape=FEATURES)  # type: ignore[attr-defined]
    assert other.load_weights(path).complete
    assert other.predict(X).tobytes() == net.predict(X).tobytes()
    again = trainer([], Adam(0.01), rng=3)
    again.load(path)
    again.fit(X, Y)
    trained.fit(X, Y)
    assert bytes_of(again) == bytes_of(trained)


def test_a_safetensors_file_resumes_within_an_epoch(tmp_path: Path) -> None:
    """With generators of every kind, metrics and callbacks: the format holds all that an archive does."""
    path = tmp_path / "run.safetensors"

    class Saves(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.steps == STEPS + 2 and not path.exists():
                trainer.save(path)
                trainer.save(path.with_suffix(".npz"))

    whole = trainer(
        [EarlyStopping("loss"), WeightAverage(0.9), Saves()], Adam(0.01), rng=np.random.Generator(np.random.MT19937(3))
    )
    whole.fit(X, Y, epochs=EPOCHS, batch_size=BATCH)
    for ending in (".safetensors", ".npz"):
        again = trainer(
            [EarlyStopping("loss"), WeightAverage(0.9), Saves()],
            Adam(0.01),
            rng=np.random.Generator(np.random.MT19937(4)),
        )
        again.load(path.with_suffix(ending))
        again.fit(X, Y, epochs=EPOCHS, batch_size=BATCH)
        assert again.history == whole.history
        assert bytes_of(again) == bytes_of(whole)


@pytest.mark.parametrize("name", ["run", "run.pt", "run.npz.tmp", ".npz", "run.safetensor"])
def test_endings_are_those_of_networks(name: str, tmp_path: Path) -> None:
    it = trainer([], SGD(0.1))
    message = r"path: expected a name that ends in \.npz or \.safetensors, got"
    for act in (it.save, it.load, deepbp.load, it.model.save, ModelCheckpoint):  # type: ignore[attr-defined]
        with pytest.raises(ConfigurationError, match=message):
            act(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_program_is_no_training(tmp_path: Path) -> None:
    save_file({"weight": np.zeros((2, 3), np.float32)}, tmp_path / "other.safetensors")
    it = trainer([], SGD(0.1))
    with pytest.raises(FileFormatError, match=r"expected a file of Trainer.save, got arrays that deepbp did not write"):
        it.load(tmp_path / "other.safetensors")


def test_a_model_that_no_file_can_describe_goes_on_all_the_same(tmp_path: Path) -> None:
    def make() -> Trainer:
        net = Sequential(
            [Dense(4), Activation(lambda z: z * z, lambda z: 2 * z), Dense(3)], input_shape=FEATURES, rng=2
        )
        return Trainer(net, SoftmaxCrossEntropy(), Adam(0.01))

    path, trained, again = tmp_path / "run.npz", make(), make()
    trained.fit(X, Y)
    trained.save(path)
    again.load(path)
    assert bytes_of(again) == bytes_of(trained)
    with pytest.raises(FileFormatError, match="expected a network, got a training whose model is none that a"):
        deepbp.load(path)


def test_a_loss_of_another_configuration_is_noticed(tmp_path: Path) -> None:
    path, trained = tmp_path / "run.npz", trainer([], SGD(0.1))
    trained.save(path)
    trained.loss = SoftmaxCrossEntropy(label_smoothing=0.1)
    message = (
        r"load: the loss: the file has 'SoftmaxCrossEntropy\(\)', this trainer "
        r"'SoftmaxCrossEntropy\(label_smoothing=0.1\)': make the trainer as it was made"
    )
    with pytest.raises(ConfigurationError, match=message):
        trained.load(path)


def test_other_settings_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning with all of them; what callbacks have changed meanwhile is none of them."""
    path = tmp_path / "run.npz"
    reduce = ReduceOnPlateau("loss", patience=1, min_delta=1e9)
    first = trainer([reduce], Adam(0.01), clip_norm=1.0)
    first.fit(X, Y, epochs=3)
    assert first.optimizer.learning_rate < 0.01
    first.save(path)
    trainer([reduce], Adam(0.01), clip_norm=1.0).load(path)  # no warning, which would be an error
    now = kernels.current()
    monkeypatch.setattr(kernels, "current", lambda: "others")
    rate = Warmup(5, then=0.02)
    other = trainer([reduce], Adam(rate, beta2=0.9), accumulate=2, non_finite="skip", clip_value=0.5)
    with pytest.warns(UserWarning, match="other settings") as caught:
        other.load(path)
    assert [str(one.message) for one in caught] == [
        "load: the training continues with other settings than it was stored with: "
        f"learning_rate: 0.01 → {rate!r}, beta2: 0.999 → 0.9, clip_norm: 1.0 → None, clip_value: None → 0.5, "
        f"accumulate: 1 → 2, non_finite: 'raise' → 'skip', kernels: {now} → others"
    ]
    assert caught[0].filename == __file__


@pytest.mark.parametrize("frozen", [False, True])
def test_an_optimizer_state_that_has_overflowed_is_refused(frozen: bool, tmp_path: Path) -> None:
    path, first = tmp_path / "run.npz", trainer([], Adam(0.01))
    first.fit(X, Y)
    first.state["square"][0] = np.inf
    if frozen:
        first.model.freeze()
        first.model.layers[-1].unfreeze()  # type: ignore[attr-defined]
        first.step(X, Y)
    first.save(path)
    again = trainer([], Adam(0.01))
    before = bytes_of(again)
    with pytest.raises(FileFormatError, match=r": the optimizer's square of 0\.weight is not finite: an update had "):
        again.load(path)
    assert bytes_of(again) == before
    assert again.model.load_weights(path).complete  # type: ignore[attr-defined]  # what the message names works
