"""The scale of training data: standardization is learned from them, and numbers far from ±10 are warned about."""

import sys
import warnings
from typing import Any

import numpy as np

from deepbp import layers
from deepbp.errors import ConfigurationError
from deepbp.layers import Chain, Layer
from deepbp.losses import Loss
from deepbp.processes import Processes
from deepbp.training.data import ROWS_AT_ONCE, Data, Source
from deepbp.training.state import TrainingState
from deepbp.training.streams import Stream
from deepbp.typing import Array

LARGE = 30.0  # the root mean square from which on the first steps of a training are far too large, or too small
ROWS = 1000  # that are looked at


def fit_scale(state: TrainingState, loss: Loss[Any], source: Source, y: Any, first: bool) -> None:
    """Let ``Standardize`` learn from the inputs; before the first step, warn about the scale of inputs and targets.

    Raises ConfigurationError for a ``Standardize`` that has learned nothing and does not get the inputs themselves.
    """
    if state.buffers:
        adapt(state.model, source, state.processes)
    if first and isinstance(source, Data):
        _warn_of_inputs(state.model, source)
        if loss.expects == "values":
            _warn_of_targets(source, y)


def adapt(model: Layer[Any], source: Source, shared: Processes | None) -> None:
    """Let each ``Standardize`` that has learned nothing learn from the inputs, of several processes all."""
    start = _first_layer(model)
    every: dict[str, Layer[Any]] = {"": model, **model.named_layers()}
    waiting = [(name, one) for name, one in every.items() if isinstance(one, layers.Standardize) and not one.is_adapted]
    for name, layer in waiting:
        if layer is not start or isinstance(source, Stream):
            inputs = "not the inputs of the network" if layer is not start else "a stream, which is read once"
            raise ConfigurationError(
                f"layer {name}, Standardize: it has learned no mean, and its data are {inputs}: call "
                f"net.named_layers()[{name!r}].adapt(x) with its data before fit"
            )
        processes = shared or Processes()
        batches = source.batches(ROWS_AT_ONCE, part=processes.part if processes.size > 1 else slice)
        own = processes.of_each(layer._moments, (batch.x for batch in batches if batch is not None))
        layer._learn(processes.gather(own))


def _first_layer(layer: Layer[Any]) -> Layer[Any]:
    while isinstance(layer, Chain):
        layer = layer.layers[0]
    return layer


def _largest(array: Array, rows: Array | None) -> tuple[float, int]:
    """The largest root mean square of a feature in some rows, and which feature it is; 0 for NaN, a missing target."""
    step = max((len(array) if rows is None else len(rows)) // ROWS, 1)
    some = array[::step] if rows is None else array[rows[::step]]
    values = np.nan_to_num(np.asarray(some).reshape(-1, some.shape[-1] if some.ndim > 1 else 1))
    if max(values.max(initial=0), -values.min(initial=0)) <= LARGE:
        return 0.0, 0
    with np.errstate(all="ignore"):
        sizes = np.sqrt(np.square(values, dtype=np.float64).mean(axis=0))
    feature = int(sizes.argmax())
    return float(sizes[feature]), feature


def _warn(what: str, fix: str, fix_in_pipelines: str) -> None:
    """Warn the code that called deepbp, maybe by an estimator, whose network is none that the caller has."""
    level, frame = 2, sys._getframe(2)
    while frame.f_back is not None and (name := frame.f_globals.get("__name__", "")).startswith(
        ("deepbp.", "sklearn.")
    ):
        level, frame = level + 1, frame.f_back
        fix = fix_in_pipelines if name.startswith("deepbp.sklearn.") else fix
    warnings.warn(f"{what}: {fix}", stacklevel=level + 1)


def _warn_of_inputs(model: Layer[Any], data: Data) -> None:
    if _first_layer(model)._normalizes:
        return
    size, feature = _largest(data.x, data.rows)
    if size > LARGE and not _takes_categories(model):
        _warn(
            f"x: feature {feature} has numbers of about ±{size:.3g}, and a network learns well from ±1",
            "begin with a layer that learns the scale, "
            "net = deepbp.Sequential([deepbp.layers.Standardize(), *net.layers], dtype=net.dtype)",
            "put sklearn.preprocessing.StandardScaler() before the estimator, in a pipeline",
        )


def _takes_categories(model: Layer[Any]) -> bool:
    return any(layer.takes_categories for layer in (model, *model.named_layers().values()))


def _warn_of_targets(data: Data, given: Any) -> None:
    size, _ = _largest(data.y, data.rows)
    if size > LARGE:
        name = "y" if isinstance(given, np.ndarray) else "numpy.asarray(y)"
        mean, std = f"{name}.mean(axis=0)", f"{name}.std(axis=0)"
        _warn(
            f"y: the targets are numbers of about ±{size:.3g}, and the outputs of a network begin at about ±1",
            f"train on ({name} - {mean}) / {std}, and use net.predict(x) * {std} + {mean}",
            "wrap the estimator, sklearn.compose.TransformedTargetRegressor(estimator, "
            "transformer=sklearn.preprocessing.StandardScaler())",
        )
