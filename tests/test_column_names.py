"""The columns of a data frame are those that the network was trained on, in any order, or an error names them."""

import pickle
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepbp
from deepbp import Sequential, Trainer
from deepbp.errors import ConfigurationError, DataError, DeepBPError, FileFormatError, NotBuiltError
from deepbp.layers import Dense, Residual, Softmax, Tanh
from deepbp.losses import MeanSquaredError, SumSquaredError
from deepbp.optimizers import SGD
from deepbp.storage.npz_format import read_archive, write_archive
from deepbp.training import fit_lbfgs, fit_levenberg_marquardt

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")

X = np.random.default_rng(0).normal(size=(20, 3))
Y = X @ [[1.0], [10.0], [100.0]]
NAMES = ("age", "height", "weight")
MAKERS: dict[str, Callable[[Any], Any]] = {
    "pandas": pandas.DataFrame,
    "polars": polars.DataFrame,
    "table": pyarrow.table,
    "record batch": pyarrow.RecordBatch.from_pydict,
}
MIXED = ("weight", "age", "height")


def frame(kind: str, names: tuple[str, ...] = NAMES, rows: slice = slice(None)) -> Any:
    known = dict(zip(NAMES, X[rows].T, strict=True))
    return MAKERS[kind]({name: known.get(name, np.zeros(len(X[rows]))) for name in names})


def net(units: int = 4) -> Sequential:
    return Sequential([Dense(units), Tanh(), Dense(1)], input_shape=3, rng=0, dtype="float64")


OPTIONS: dict[str, Any] = {"loss": MeanSquaredError(), "optimizer": SGD(0.001)}


def trained(kind: str = "pandas") -> Sequential:
    network = net()
    network.fit(frame(kind), Y, **OPTIONS)
    return network


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("other", MAKERS)
def test_columns_in_another_order_are_put_in_order(kind: str, other: str) -> None:
    network, twin = trained(kind), net()
    assert network.columns == NAMES
    mixed = frame(other, MIXED)
    twin.fit(X, Y, **OPTIONS)
    assert twin.columns is None
    np.testing.assert_array_equal(network.predict(mixed), twin.predict(X))
    np.testing.assert_array_equal(network.predict(X), twin.predict(X))
    np.testing.assert_array_equal(network.predict(mixed, batch_size=7), twin.predict(X, batch_size=7))
    loss = MeanSquaredError()
    assert network.evaluate(mixed, Y, loss=loss) == twin.evaluate(X, Y, loss=loss)
    np.testing.assert_array_equal(network.trace(mixed, Y, loss).prediction, twin.trace(X, Y, loss).prediction)
    histories = [one.fit(x, Y, validation_data=(x, Y), rng=1, **OPTIONS) for one, x in ((network, mixed), (twin, X))]
    assert histories[0] == histories[1]
    assert network.columns == NAMES


@pytest.mark.parametrize("kind", MAKERS)
def test_other_columns_are_named(kind: str) -> None:
    network = trained(kind)
    start = "x: expected the columns that the network was trained on, "
    rename = "rename them, or forget the names with net.columns = None"
    for names, message in (
        (("age", "height"), f"missing ['weight']: {rename}"),
        (("age", "height", "mass"), f"missing ['weight'], unexpected ['mass']: {rename}"),
        ((*MIXED, "id"), "unexpected ['id']: use "),
    ):
        x = frame(kind, names)
        for call in (
            lambda x=x: network.predict(x),
            lambda x=x: network.evaluate(x, Y, loss=MeanSquaredError()),
            lambda x=x: network.fit(x, Y, **OPTIONS),
            lambda x=x: fit_lbfgs(network, x, Y, MeanSquaredError()),
        ):
            with pytest.raises(DataError, match=f"^{re.escape(start + message)}") as caught:
                call()
    chosen = eval(str(caught.value).rpartition(": use ")[2], {"x": x, "net": network})
    np.testing.assert_array_equal(network.predict(chosen), network.predict(X))
    network.columns = None
    network.predict(frame(kind, ("a", "b", "c")))


def test_one_name_twice_is_refused_unless_it_was_twice_before() -> None:
    twice = pandas.DataFrame(X, columns=["a", "a", "b"])
    network = net()
    network.fit(twice, Y, **OPTIONS)
    np.testing.assert_array_equal(network.predict(twice), network.predict(X))
    with pytest.raises(DataError, match=r"trained on, each once, got \['a', 'b', 'a'\]: rename them, or forget"):
        network.predict(pandas.DataFrame(X, columns=["a", "b", "a"]))


def test_numbered_columns_have_no_names() -> None:
    network, unnamed = trained(), net()
    unnamed.fit(pandas.DataFrame(X), Y, **OPTIONS)
    assert unnamed.columns is None
    np.testing.assert_array_equal(network.predict(pandas.DataFrame(X)), network.predict(X))
    unnamed.predict(frame("pandas", MIXED))


def batches(*names: tuple[str, ...]) -> Iterator[Any]:
    for start, order in enumerate(names):
        rows = slice(10 * start, 10 * start + 10)
        yield frame("polars", order, rows), Y[rows]


def test_streams_and_dicts_of_frames() -> None:
    twin = net()
    twin.fit(X, Y, batch_size=10, shuffle=False, **OPTIONS)
    for source in (lambda: batches(NAMES, MIXED), {"x": frame("pandas"), "y": Y}):
        network = net()
        network.fit(source, batch_size=10, shuffle=False, **OPTIONS)
        assert network.columns == NAMES
        np.testing.assert_array_equal(network.parameters()[0].value, twin.parameters()[0].value)
    np.testing.assert_array_equal(network.predict(batches(MIXED, NAMES)), twin.predict(X, batch_size=10))
    with pytest.raises(DataError, match=r"^batch 1: x: expected the columns .* missing"):
        network.predict(batches(MIXED, ("age", "height", "mass")))


def test_validation_data_have_the_columns_of_the_training() -> None:
    network, twin = net(), net()
    loss = network.fit(frame("pandas"), Y, validation_data=(frame("pandas", MIXED), Y), rng=1, **OPTIONS)
    assert loss == twin.fit(X, Y, validation_data=(X, Y), rng=1, **OPTIONS)


def test_no_names_are_kept_if_nothing_is_learned() -> None:
    network = net()
    with pytest.raises(DataError, match=r"^validation_data: x: expected the columns .* missing \['weight'\], unexpec"):
        network.fit(frame("pandas"), Y, validation_data=(frame("pandas", ("age", "height", "mass")), Y), **OPTIONS)
    with pytest.raises(DeepBPError):
        network.fit(frame("pandas"), Y[:3], **OPTIONS)
    with pytest.raises(DeepBPError, match=r"the loss became inf"):
        network.fit(frame("pandas"), Y * 1e300, **OPTIONS)
    network.fit(frame("pandas"), Y, epochs=0, **OPTIONS)
    network.evaluate(frame("pandas", MIXED), Y, loss=MeanSquaredError())
    network.trace(frame("pandas", MIXED), Y, MeanSquaredError())
    assert network.columns is None
    network.fit(frame("pandas", MIXED), Y, **OPTIONS)
    assert network.columns == MIXED


def test_other_ways_to_train() -> None:
    pytest.importorskip("scipy")
    x, loss = frame("pandas"), SumSquaredError()
    by_lbfgs, by_marquardt, by_hand, by_steps = (net(units=2) for _ in range(4))
    fit_lbfgs(by_lbfgs, x, Y, loss, max_iterations=2)
    fit_levenberg_marquardt(by_marquardt, x, Y, loss, max_iterations=2)
    objective = by_hand.objective(x, Y, loss)
    assert by_hand.columns is None
    objective.assign(objective.start)
    trainer = Trainer(by_steps, loss, SGD(0.0))
    trainer.step(x, Y)
    for network in (by_lbfgs, by_marquardt, by_hand, by_steps):
        assert network.columns == NAMES
        np.testing.assert_array_equal(network.predict(frame("polars", MIXED)), network.predict(X))
    assert trainer.step(frame("pandas", MIXED), Y) == trainer.step(X, Y)
    body: Any = Residual(Dense(3))
    other = Trainer(Sequential([body], input_shape=3, rng=0).layers[0], loss, SGD(0.0))
    other.fit(x, X)
    assert other.evaluate(frame("pandas", MIXED), X) == other.evaluate(X, X)


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_files_and_copies_keep_the_names(ending: str, tmp_path: Path) -> None:
    network = trained()
    network.save(tmp_path / f"net.{ending}")
    copies = [
        deepbp.load(tmp_path / f"net.{ending}"),
        deepcopy(network),
        pickle.loads(pickle.dumps(network)),
        network[:],
        network[:2],
        Sequential([network, Softmax()], input_shape=3, dtype="float64"),
    ]
    copies[-1].save(tmp_path / f"wrapped.{ending}")
    for copy in (*copies, deepbp.load(tmp_path / f"wrapped.{ending}")):
        assert copy.columns == NAMES
        np.testing.assert_array_equal(copy.predict(frame("polars", MIXED)), copy.predict(X))
    assert network[1:].columns is None
    wrapped = copies[-1]
    wrapped.columns = None
    assert network.columns is None


def test_a_training_file_keeps_the_names(tmp_path: Path) -> None:
    trainer = Trainer(net(), MeanSquaredError(), SGD(0.01))
    trainer.fit(frame("pandas"), Y)
    trainer.save(tmp_path / "run.npz")
    assert deepbp.load(tmp_path / "run.npz").columns == NAMES
    other = Trainer(net(), MeanSquaredError(), SGD(0.01))
    other.load(tmp_path / "run.npz")
    assert other.model.columns == NAMES  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="missing"):
        other.fit(frame("pandas", ("age", "height", "mass")), Y)
    Trainer(net(), MeanSquaredError(), SGD(0.01)).save(tmp_path / "unnamed.npz")
    other.load(tmp_path / "unnamed.npz")
    assert other.model.columns is None  # type: ignore[attr-defined]


def test_weights_bring_the_names_of_their_file(tmp_path: Path) -> None:
    trained().save(tmp_path / "net.npz")
    net().save(tmp_path / "unnamed.npz")
    trainer = Trainer(trained(), MeanSquaredError(), SGD(0.01))
    trainer.save(tmp_path / "run.npz")
    network = net()
    for name in ("net", "run"):
        network.load_weights(tmp_path / f"{name}.npz")
        assert network.columns == NAMES
        network.load_weights(tmp_path / "unnamed.npz")
        assert network.columns is None
    other = Sequential([Dense(4), Tanh(), Dense(2)], input_shape=3, rng=0, dtype="float64")
    other.load_weights(tmp_path / "net.npz", strict=False)
    assert other.columns is None


@pytest.mark.parametrize("junk", [None, 7, "abc", {}, [1, 2, 3], [["a"], ["b"], ["c"]], ["a"], [], list("abcd")])
def test_junk_in_place_of_names_is_refused(junk: Any, tmp_path: Path) -> None:
    trained().save(tmp_path / "net.npz")
    description, arrays = read_archive(tmp_path / "net.npz")
    assert description["columns"] == list(NAMES)
    write_archive(tmp_path / "net.npz", {**description, "columns": junk}, arrays)
    with pytest.raises(FileFormatError, match=r"columns: expected|expected names"):
        deepbp.load(tmp_path / "net.npz")


def test_names_may_be_given() -> None:
    network = net()
    network.columns = list(NAMES)
    np.testing.assert_array_equal(network.predict(frame("pandas", MIXED)), network.predict(X))
    for wrong, message in (
        (["a", "b"], r"columns: expected names for samples of shape \(3,\), got 2"),
        (["a", "b", 3], "columns: expected a list of names, or None, got"),
        ("abc", "columns: expected a list of names, or None, got 'abc'"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            network.columns = wrong  # type: ignore[assignment]
    assert network.columns == NAMES
    with pytest.raises(NotBuiltError):
        Sequential([Dense(1)]).columns = ["a"]
    assert Sequential([Dense(1)]).columns is None


TARGETS = ("left", "right")
TWO = np.concatenate([Y, -2 * Y], axis=1)


def targets(kind: str, names: tuple[str, ...]) -> Any:
    known = dict(zip(TARGETS, TWO.T, strict=True))
    return MAKERS[kind]({name: known.get(name, TWO[:, 0]) for name in names})


@pytest.mark.parametrize("kind", MAKERS)
def test_columns_of_targets_are_put_in_order_or_named(kind: str, tmp_path: Path) -> None:
    network, twin = (Sequential([Dense(2)], input_shape=3, rng=0, dtype="float64") for _ in range(2))
    network.fit(X, targets(kind, TARGETS), **OPTIONS)
    twin.fit(X, TWO, **OPTIONS)
    assert (network.columns, network.target_columns, twin.target_columns) == (None, TARGETS, None)
    loss, mixed = MeanSquaredError(), targets(kind, TARGETS[::-1])
    for one in (network, deepcopy(network), pickle.loads(pickle.dumps(network)), saved(network, tmp_path)):
        assert one.evaluate(X, mixed, loss=loss) == twin.evaluate(X, TWO, loss=loss)
    histories = [one.fit(X, y, validation_data=(X, y), rng=1, **OPTIONS) for one, y in ((network, mixed), (twin, TWO))]
    assert histories[0] == histories[1]
    wrong = re.escape("y: expected the columns that the network was trained on, missing ['right']")
    with pytest.raises(DataError, match=f"^{wrong}.*forget the names with net.target_columns = None"):
        network.evaluate(X, targets(kind, ("left", "up")), loss=loss)
    with pytest.raises(DataError, match=r"^y: .*unexpected \['up'\]: use ") as caught:
        network.evaluate(X, y := targets(kind, (*TARGETS[::-1], "up")), loss=loss)
    chosen = eval(str(caught.value).rpartition(": use ")[2], {"y": y, "net": network})
    assert network.evaluate(X, chosen, loss=loss) == network.evaluate(X, TWO, loss=loss)
    network.target_columns = None
    network.evaluate(X, targets(kind, ("up", "down")), loss=loss)


def saved(network: Sequential, folder: Path) -> Sequential:
    trainer = Trainer(network, MeanSquaredError(), SGD(0.1))
    trainer.save(folder / "training.npz")
    other = Sequential([Dense(2)], input_shape=3, dtype="float64")
    Trainer(other, MeanSquaredError(), SGD(0.1)).load(folder / "training.npz")
    assert other.target_columns == network.target_columns
    other.target_columns = None
    other.load_weights(network.save(folder / "weights.npz"))
    assert other.target_columns == network.target_columns
    return deepbp.load(network.save(folder / "net.npz"))


def test_targets_in_one_column_have_no_order_and_so_no_names() -> None:
    network = net()
    network.fit(frame("pandas"), pandas.DataFrame({"price": Y[:, 0]}), **OPTIONS)
    assert (network.columns, network.target_columns) == (NAMES, None)


def test_nothing_is_remembered_of_a_fit_that_learned_nothing() -> None:
    network = Sequential([Dense(2)], input_shape=3, rng=0, dtype="float64")
    with pytest.raises(DataError):
        network.fit(frame("pandas"), targets("pandas", TARGETS).replace(TWO[0, 0], np.inf), **OPTIONS)
    assert (network.columns, network.target_columns) == (None, None)


@pytest.mark.parametrize("junk", ["left", [1, 2], {"a": 1}])
def test_target_columns_that_are_no_names_are_refused(junk: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^target_columns: expected a list of names, or None, got"):
        net().target_columns = junk
