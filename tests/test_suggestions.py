"""A name or argument of PyTorch, Keras or scikit-learn ends in an error whose last words, pasted, work."""

import copy
import inspect
import pickle
import re
import subprocess
import sys
import traceback
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from attrs import define, field

import deepbp
from deepbp import History, Sequential, Trainer, _suggestions, losses, optimizers
from deepbp.errors import ArgumentTypeError
from deepbp.layers import Dense, Sigmoid
from deepbp.metrics import Accuracy, check_metrics
from deepbp.optimizers import SGD

HOMES = [f"deepbp.{home}".rstrip(".") for home in _suggestions._NAMES]
MODULES = [*HOMES, "deepbp.files", "deepbp.testing", "deepbp.plots", "deepbp.derivation"]


def names() -> dict[str, Any]:
    """All public names, as a user has imported them; where two share one, the earlier module's."""
    found: dict[str, Any] = {"deepbp": deepbp}
    for home in HOMES:
        module = import_module(home)
        found |= {name: getattr(module, name) for name in module.__all__ if name not in found}
    return found


def error_of(code: str, **values: Any) -> Exception:
    with pytest.raises((AttributeError, ImportError, TypeError)) as raised:
        exec(code, names() | values)
    return raised.value


def fix_in(error: Exception) -> str:
    """The code at the end of a message."""
    match = re.search(r"write (.*?)(?:, from (deepbp[.\w]*))?$", str(error))
    assert match is not None, str(error)
    if match[2] is not None:
        assert match[1].split("(")[0] in import_module(match[2]).__all__
    return match[1]


ARGUMENTS = {
    "SGD(lr=0.1)": "SGD(learning_rate=0.1)",
    "SGD([1, 2], lr=0.1)": "SGD(learning_rate=0.1)",
    "SGD(params=[1, 2], lr=0.1)": "SGD(learning_rate=0.1)",
    "Adam(betas=(0.8, 0.9))": "Adam(beta1=0.8, beta2=0.9)",
    "Adam(beta_1=0.8, eps=0.1)": "Adam(beta1=0.8, epsilon=0.1)",
    "Adam(lr=0.1, amsgrad=True)": "AMSGrad(learning_rate=0.1)",
    "Adam(0.1, weight_decay=0.2)": "AdamW(0.1, weight_decay=0.2)",
    "CrossEntropy(from_logits=True)": "SoftmaxCrossEntropy()",
    "BinaryCrossEntropy(from_logits=True, label_smoothing=0.1)": "SigmoidBinaryCrossEntropy(label_smoothing=0.1)",
    "MeanSquaredError(reduction='sum')": "SumSquaredError()",
    "EarlyStopping(restore_best_weights=False)": "EarlyStopping(restore_best=False)",
    "ReduceOnPlateau(min_lr=0.1, patienec=3)": "ReduceOnPlateau(min_rate=0.1, patience=3)",
    "Cosine(0.1, T_max=5)": "Cosine(0.1, steps=5)",
    "OneCycle(max_lr=0.1, total_steps=5)": "OneCycle(peak=0.1, steps=5)",
    "Normal(stddev=0.1)": "Normal(std=0.1)",
    "TopKAccuracy(n=3, K=2)": None,
    "L2(0.1, 0.2)": "L2(0.1)",
    "Dense(2, bias=False)": "Dense(2, use_bias=False)",
    "Dense(4, 2)": "Dense(2)",
    "Dense(in_features=4, out_features=2)": "Dense(units=2)",
    "Dense(2, activation='relu')": "[Dense(2), ReLU()]",
    "Dense(2, bias=False, activation='leaky_relu')": "[Dense(2, use_bias=False), LeakyReLU()]",
    "Dense(2, activation='xyzzy')": "[Dense(2), ReLU()]",
    "Dense(2, input_shape=(4,))": "Sequential([Dense(2)], input_shape=(4,))",
    "Dense(2, input_dim=4)": "Sequential([Dense(2)], input_shape=4)",
    "Dense(2, dtype='float64')": "Sequential([Dense(2)], dtype='float64')",
    "Dense(2, kernel_initializer=Zeros())": "Dense(2, weight_init=Zeros())",
    "Dense(2, name='first')": "Dense(2)",
    "Dense(2, regularization=0.1)": None,
    "Embedding(num_embeddings=10, embedding_dim=3)": "Embedding(categories=10, units=3)",
    "Dropout(p=0.5)": "Dropout(rate=0.5)",
    "ReLU(inplace=True)": "ReLU()",
    "LeakyReLU(negative_slope=0.2)": "LeakyReLU(slope=0.2)",
    "BatchNorm(8)": "BatchNorm()",
    "BatchNorm(num_features=8, eps=0.1)": "BatchNorm(epsilon=0.1)",
    "GaussianNoise(stddev=0.1)": "GaussianNoise(std=0.1)",
    "Sequential(Dense(1), ReLU())": "Sequential([Dense(1), ReLU()])",
    "Sequential([Dense(1)], seed=0, input_size=3)": "Sequential([Dense(1)], rng=0, input_shape=3)",
    "Trainer(model=net, criterion=MeanSquaredError(), optimizer=SGD(0.1))": None,
}


@pytest.mark.parametrize("call", ARGUMENTS)
def test_an_argument_with_another_name(call: str) -> None:
    error = error_of(call, net=Sequential([Dense(1)], input_shape=3))
    assert isinstance(error, ArgumentTypeError)
    assert str(error).startswith(f"{call.split('(')[0]}: ")
    if (expected := ARGUMENTS[call]) is not None:
        assert fix_in(error) == expected
        eval(expected, names())


NAMES = {
    "layers.Linear": "deepbp.layers.Dense",
    "layers.ReLu": "deepbp.layers.ReLU",
    "layers.BatchNorm1d": "deepbp.layers.BatchNorm",
    "layers.BatchNormalization": "deepbp.layers.BatchNorm",
    "layers.Sequential": "deepbp.Sequential",
    "layers.Desne": "deepbp.layers.Dense",
    "losses.MSE": "deepbp.losses.MeanSquaredError",
    "losses.MSELoss": "deepbp.losses.MeanSquaredError",
    "losses.L1Loss": "deepbp.losses.MeanAbsoluteError",
    "losses.CrossEntropyLoss": "deepbp.losses.SoftmaxCrossEntropy",
    "losses.BCEWithLogitsLoss": "deepbp.losses.SigmoidBinaryCrossEntropy",
    "losses.CategoricalCrossentropy": "deepbp.losses.SoftmaxCrossEntropy",
    "losses.BinaryCrossentropy": "deepbp.losses.BinaryCrossEntropy",
    "losses.SmoothL1Loss": "deepbp.losses.Huber",
    "losses.Accuracy": "deepbp.metrics.Accuracy",
    "optimizers.Sgd": "deepbp.optimizers.SGD",
    "optimizers.Cosine": "deepbp.optimizers.schedules.Cosine",
    "optimizers.schedules.CosineAnnealingLR": "deepbp.optimizers.schedules.Cosine",
    "metrics.MAE": "deepbp.metrics.MeanAbsoluteError",
    "metrics.AUC": "deepbp.metrics.ROCAUC",
    "initializers.xavier_uniform_": "deepbp.initializers.GlorotUniform",
    "callbacks.CSVLogger": "deepbp.callbacks.CSVLog",
    "training.Sequential": "deepbp.Sequential",
    "testing.check_layers": "deepbp.testing.check_layer",
    "Dense": "deepbp.layers.Dense",
    "Sequentail": "deepbp.Sequential",
    "EarlyStopping": "deepbp.callbacks.EarlyStopping",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_another_one_here(name: str) -> None:
    error = error_of(f"deepbp.{name}")
    assert isinstance(error, AttributeError)
    assert str(error).startswith("module 'deepbp")
    fix = fix_in(error)
    assert fix == NAMES[name]
    assert isinstance(eval(fix, {"deepbp": deepbp}), type) or "check" in fix


@pytest.mark.parametrize("name", NAMES)
def test_an_import_of_a_name_that_is_another_one_here(name: str) -> None:
    module, _, last = f"deepbp.{name}".rpartition(".")
    error = error_of(f"from {module} import {last}")
    assert isinstance(error, ImportError)
    assert str(error).startswith(f"cannot import name {last!r} from {module!r}: write from ")
    assert error.name == module
    exec(fix_in(error), {})


@pytest.mark.parametrize("module", MODULES)
def test_a_name_that_resembles_nothing(module: str) -> None:
    assert not hasattr(import_module(module), "xyzzy_plugh")
    with pytest.raises(AttributeError, match=rf"^module '{re.escape(module)}' has no attribute 'xyzzy_plugh'$"):
        import_module(module).xyzzy_plugh  # noqa: B018
    with pytest.raises(ImportError, match=rf"^cannot import name 'xyzzy_plugh' from '{re.escape(module)}'$"):
        exec(f"from {module} import xyzzy_plugh")


def test_a_submodule_is_imported_although_the_package_has_no_such_name_yet() -> None:
    code = "from deepbp.layers import dense; from deepbp.optimizers import adam; print(dense.Dense, adam.Adam)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_names_stand_for_exists() -> None:
    for home, translated in _suggestions._NAMES.items():
        module = import_module(f"deepbp.{home}".rstrip("."))
        assert set(translated) <= set(module.__all__)
        foreign = [name for names in translated.values() for name in names.split()]
        assert len(foreign) == len(set(foreign))
    assert set(_suggestions._CLASSES.values()) <= names().keys()


def test_arguments_that_others_have_belong_to_something_here() -> None:
    functions: list[Any] = [
        *(value for value in names().values() if isinstance(value, type)),
        Sequential.fit,
        deepbp.Trainer.fit,
    ]
    known: set[str] = set()
    for function in functions:
        try:
            known |= set(inspect.signature(function).parameters)
        except ValueError:  # of a kind of dict
            continue
    assert set(_suggestions._ARGUMENTS) <= known


def test_a_right_call_is_the_same_object_as_before() -> None:
    optimizer = SGD(0.1, momentum=0.9)
    assert pickle.loads(pickle.dumps(optimizer)) == copy.deepcopy(optimizer) == optimizer
    assert str(inspect.signature(SGD)).startswith("(learning_rate: float")


def test_a_missing_argument_has_the_message_of_python() -> None:
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'learning_rate'"):
        SGD()  # type: ignore[call-arg]


def test_an_error_inside_a_constructor_is_left_alone() -> None:
    def fails(instance: Any, attribute: Any, value: Any) -> None:
        raise TypeError("from inside")

    @define
    class Fails(optimizers.Optimizer):
        learning_rate: float = field(validator=fails)

        def step(self, parameters: Any, state: Any) -> None: ...

    with pytest.raises(TypeError, match=r"^from inside$") as raised:
        Fails(0.1)
    assert type(raised.value) is TypeError
    assert "fails" in "".join(traceback.format_tb(raised.tb))


CALLS = {
    "net.fit(x, y, epoch=3, **rest)": "epochs=3",
    "net.fit(x, y, n_epochs=3, verbose=0, **rest)": "epochs=3, progress=False",
    "net.fit(x, y, validation=None, **rest)": "validation_data=None",
    "net.fit(x, y, MeanSquaredError(), Adam())": "loss=MeanSquaredError(), optimizer=Adam()",
    "net.fit(x, y, criterion=MeanSquaredError(), optimizer=SGD(0.1))": "loss=MeanSquaredError()",
    "net.fit(x, y, random_state=0, clipnorm=1.0, **rest)": "rng=0, clip_norm=1.0",
    "net.evaluate(x, y, criterion=MeanSquaredError())": "loss=MeanSquaredError()",
    "trainer.fit(x, y, max_epochs=2)": "epochs=2",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_method_called_with_the_name_of_another_library(call: str) -> None:
    net = Sequential([Dense(1)], input_shape=3)
    rest = {"loss": losses.MeanSquaredError(), "optimizer": SGD(0.1)}
    x, y = np.zeros((4, 3)), np.zeros((4, 1))
    trainer = deepbp.Trainer(net, losses.MeanSquaredError(), SGD(0.1))
    values = {"net": net, "x": x, "y": y, "rest": rest, "trainer": trainer}
    error = error_of(call, **values)
    assert isinstance(error, ArgumentTypeError)
    fix = fix_in(error)
    assert fix == CALLS[call]
    method, _, after = call.partition("(")
    others = (
        ", **rest" if "rest" in after else ", optimizer=SGD(0.1)" if "optimizer=" not in fix and "fit" in method else ""
    )
    eval(f"{method}(x, y, {fix}{others if 'trainer' not in method else ''})", names() | values)


TEXTS = {
    "net.fit(x, y, loss='mse', optimizer=SGD(0.1))": "MeanSquaredError()",
    "net.fit(x, y, loss='binary_crossentropy', optimizer=SGD(0.1))": "BinaryCrossEntropy()",
    "net.fit(x, y, loss=MeanSquaredError(), optimizer='adam')": "Adam()",
    "net.fit(x, y, loss=MeanSquaredError(), optimizer='sgd')": "SGD(learning_rate=0.01)",
    "net.fit(x, y, loss=MeanSquaredError(), optimizer=SGD(0.1), metrics=['accuracy'])": "Accuracy()",
    "net.fit(x, y, callbacks=['early_stopping'], validation_split=0.5, **rest)": "EarlyStopping()",
    "Dense(4, weight_init='he_normal')": "HeNormal()",
    "Dense(4, weight_init='kaiming_uniform')": "HeUniform()",
}


@pytest.mark.parametrize("call", TEXTS)
def test_a_text_in_place_of_an_object(call: str) -> None:
    values: dict[str, Any] = {
        "net": Sequential([Dense(1), Sigmoid()], input_shape=3),
        "x": np.zeros((4, 3)),
        "y": np.zeros((4, 1)),
    }
    values["rest"] = {"loss": losses.MeanSquaredError(), "optimizer": SGD(0.1)}
    fix = fix_in(error_of(call, **values))
    assert fix == TEXTS[call]
    eval(re.sub(r"'\w+'", fix, call), names() | values)


def test_a_text_that_names_nothing() -> None:
    with pytest.raises(ArgumentTypeError, match=r"^Dense: weight_init: expected Initializer, got 'xyzzy'$"):
        Dense(4, weight_init="xyzzy")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", _suggestions.FOREIGN_METHODS)
def test_a_method_that_networks_have_elsewhere(name: str, tmp_path: Any) -> None:
    net = Sequential([Dense(1)], input_shape=3)
    path = net.save(tmp_path / "net.npz")
    assert not hasattr(net, name)
    assert name not in dir(net)
    error = error_of(f"net.{name}()", net=net)
    assert str(error).startswith(f"'Sequential' object has no attribute {name!r}: ")
    eval(fix_in(error), names() | {"net": net, "x": np.zeros((4, 3)), "y": np.zeros((4, 1)), "path": path})


def test_a_layer_of_a_user_explains_its_arguments() -> None:
    @define(eq=False)
    class Shifted(Dense):
        shift: float = field(default=0.0, kw_only=True)

    with pytest.raises(ArgumentTypeError, match=r"^Shifted: unexpected argument 'shfit': write Shifted\(2, shift=1\)$"):
        Shifted(2, shfit=1)  # type: ignore[call-arg]
    assert repr(Shifted(2, shift=1.0)) == "Shifted(2, shift=1.0)"


def test_layers_are_called_like_functions() -> None:
    net, x = Sequential([Dense(2), Sigmoid()], input_shape=3, rng=0), np.ones((4, 3))
    assert (net(x) == net.predict(x)).all()
    assert (net(x.tolist()) == net.predict(x)).all()
    assert (net.layers[1](net.layers[0](x.astype(np.float32))) == net(x)).all()


def test_a_parameter_by_its_path() -> None:
    net = Sequential([Dense(2)], input_shape=3)
    assert net.parameter("0.weight") is net.layers[0].weight
    with pytest.raises(IndexError, match=r"^Sequential: parameter: expected one of '0.weight', '0.bias', got '0.w'$"):
        net.parameter("0.w")
    with pytest.raises(IndexError, match="expected one of none before the network is built, got"):
        Sequential([Dense(2)]).parameter("0.weight")


def test_what_a_history_has_elsewhere() -> None:
    history: Any = History(loss=[0.5])
    assert not {"history", "plot"} & {*dir(history)}
    with pytest.raises(AttributeError, match=r"has no attribute 'history': .*: write history\['loss'\]$"):
        history.history  # noqa: B018
    assert not hasattr(history, "plot")
    assert copy.deepcopy(history) == history == pickle.loads(pickle.dumps(history))


def test_a_class_in_the_place_of_an_object() -> None:
    with pytest.raises(ArgumentTypeError, match=r"metrics: .* got <class .*Accuracy'>: write Accuracy\(\)$"):
        check_metrics([Accuracy])  # type: ignore[list-item]
    with pytest.raises(ArgumentTypeError, match=r"loss: expected Loss, got 'softmax': write SoftmaxCrossEntropy\(\)"):
        Trainer(Sequential([Dense(2)], input_shape=1), "softmax", SGD(0.1))  # type: ignore[arg-type]
