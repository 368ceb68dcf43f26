"""deepbp: backpropagation through any number of layers, in NumPy.

>>> from deepbp import Sequential
>>> from deepbp.layers import Dense, Sigmoid
>>> net = Sequential([Dense(4), Sigmoid(), Dense(1), Sigmoid()], input_shape=(3,), rng=0)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deepbp._version import __version__ as __version__

if TYPE_CHECKING:
    from deepbp import (
        callbacks,
        derivation,
        errors,
        files,
        initializers,
        kernels,
        layers,
        losses,
        metrics,
        optimizers,
        plots,
        testing,
        training,
    )
    from deepbp.derivation import derive
    from deepbp.parameters import Buffer, Parameter, ParameterVector
    from deepbp.sequential import Sequential, load
    from deepbp.training import History, Trainer

_HOMES = {
    "Buffer": "parameters",
    "History": "training",
    "Parameter": "parameters",
    "ParameterVector": "parameters",
    "Sequential": "sequential",
    "Trainer": "training",
    "derive": "derivation",
    "load": "sequential",
}

__all__ = [
    "Buffer",
    "History",
    "Parameter",
    "ParameterVector",
    "Sequential",
    "Trainer",
    "callbacks",
    "derivation",
    "derive",
    "errors",
    "files",
    "initializers",
    "kernels",
    "layers",
    "load",
    "losses",
    "metrics",
    "optimizers",
    "plots",
    "testing",
    "training",
]


def _load(name: str) -> Any:
    """Load each part when it is first used: a program that only asks for the version waits for nothing."""
    if name in _HOMES:
        value = getattr(import_module(f"deepbp.{_HOMES[name]}"), name)
    elif name in __all__:
        value = import_module(f"deepbp.{name}")
    else:
        from deepbp._suggestions import suggest_names

        value = suggest_names("deepbp")(name)  # raises
    globals()[name] = value
    return value


globals()["__getattr__"] = _load  # a type checker that sees a module's __getattr__ accepts any name


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
