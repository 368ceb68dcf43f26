"""The options of fit stand in one class; the signatures that users see agree with it."""

import inspect
import subprocess
import sys
from typing import Any

import attrs
import pytest
from problems import SQUARES

import deepbp
from deepbp import Sequential, Trainer, callbacks, training
from deepbp.errors import ConfigurationError
from deepbp.layers import Dense
from deepbp.optimizers import SGD
from deepbp.training.options import FitOptions

OPTIONS = {field.name: (field.default, field.type) for field in attrs.fields(FitOptions)}
TRAINER = {field.alias: (field.default, field.type) for field in attrs.fields(Trainer) if field.init and field.kw_only}


def parameters(function: Any) -> dict[str, tuple[Any, Any]]:
    found = inspect.signature(function).parameters.values()
    return {one.name: (one.default, one.annotation) for one in found if one.kind is one.KEYWORD_ONLY}


def test_fit_of_a_trainer_has_these_options() -> None:
    found = parameters(Trainer.fit)
    assert found.pop("callbacks")[0] == ()  # further ones for one call; in Sequential.fit those of the trainer
    assert found == OPTIONS


def test_fit_of_a_network_has_those_of_a_trainer_as_well() -> None:
    found = parameters(Sequential.fit)
    assert {name: found[name] for name in OPTIONS} == OPTIONS
    rest = {name: found[name] for name in found if name not in OPTIONS}
    assert rest.keys() == TRAINER.keys() | {"loss", "optimizer"}
    assert {name: default for name, (default, _) in rest.items() if name in TRAINER} == {
        name: default for name, (default, _) in TRAINER.items()
    }


def test_options_are_validated_before_anything_else() -> None:
    net = Sequential([Dense(4)])
    with pytest.raises(ConfigurationError, match=r"^epochs: expected a whole number of at least 0, got -1$"):
        net.fit(SQUARES.x, SQUARES.y, loss=SQUARES.loss, optimizer=SGD(0.1), epochs=-1)
    assert net.built is None


def test_old_homes_are_found_without_an_import() -> None:
    code = "import deepbp; deepbp.training.callbacks.EarlyStopping; deepbp.training.metrics.Accuracy"
    subprocess.run([sys.executable, "-c", code], check=True)


FIRST = """
import sys
for first in sys.argv[1:]:
    for name in [name for name in sys.modules if name.partition(".")[0] == "deepbp"]:
        del sys.modules[name]
    __import__(first)
    from deepbp.training import EarlyStopping
    from deepbp.callbacks import EarlyStopping as Same
    assert EarlyStopping is Same
"""


def test_any_module_may_be_imported_first() -> None:
    modules = [
        "deepbp.callbacks",
        "deepbp.callbacks.monitor",
        "deepbp.metrics",
        "deepbp.sequential",
        "deepbp.training.callbacks",
        "deepbp.training.state",
    ]
    subprocess.run([sys.executable, "-c", FIRST, *modules], check=True)


def test_callbacks_have_two_homes() -> None:
    for name in callbacks.__all__:
        assert getattr(training, name) is getattr(callbacks, name) is getattr(training.callbacks, name)
    assert set(training.__all__) <= set(dir(training))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = training.Nothing  # type: ignore[attr-defined]
    assert deepbp.callbacks is callbacks
