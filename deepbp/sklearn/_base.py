"""What classifiers and regressors have in common: parameters, data, and one training."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import attrs
import numpy as np
from attrs import define
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from deepbp._config import configuration
from deepbp.callbacks import EarlyStopping
from deepbp.errors import shown
from deepbp.layers import Dense, Layer, ReLU, Sigmoid, Softmax, Softplus
from deepbp.losses import Loss
from deepbp.losses.targets import ClassTargetLoss
from deepbp.optimizers import Adam, Optimizer
from deepbp.sequential import Sequential
from deepbp.training import Callback, Trainer
from deepbp.typing import Array


class _WithoutCallbacks:
    """Before version 1.9, scikit-learn has no callbacks."""


def _unchanged(fit: Any) -> Any:
    return fit


_callback = import_module("sklearn.callback") if find_spec("sklearn.callback") else None
CallbackSupport: Any = getattr(_callback, "CallbackSupportMixin", _WithoutCallbacks)
with_callbacks: Any = getattr(_callback, "with_callbacks", _unchanged)

ROWS_AT_ONCE = 1024
INPUTS: dict[str, Any] = {"accept_sparse": "csr", "dtype": [np.float64, np.float32]}


class NetworkEstimator(CallbackSupport, BaseEstimator):  # type: ignore[misc]  # without types
    """A network whose output layer follows from y. See ``NetworkClassifier``."""

    network_: Sequential
    trainer_: Trainer

    def __init__(
        self,
        layers: Sequence[Layer[Any]] | None = None,
        *,
        loss: Loss[Any] | None = None,
        optimizer: Optimizer | None = None,
        epochs: int = 200,
        batch_size: int | None = 32,
        callbacks: Sequence[Callback] | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        clip_norm: float | None = None,
        dtype: str | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        progress: Any = False,
    ) -> None:
        self.layers = layers
        self.loss = loss
        self.optimizer = optimizer
        self.epochs = epochs
        self.batch_size = batch_size
        self.callbacks = callbacks
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.clip_norm = clip_norm
        self.dtype = dtype
        self.warm_start = warm_start
        self.random_state = random_state
        self.progress = progress

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters; if ``deep``, also those inside of layers, loss, optimizer and callbacks.

        Those of the layers and the optimizer that None stands for are among them.
        """
        found: dict[str, Any] = super().get_params(deep=False)
        if deep:
            for name, value in [*found.items()]:
                found.update(_nested(name, self._or_default(name, value)))
        return found

    def set_params(self, **parameters: Any) -> "NetworkEstimator":
        """Set parameters; ``layers__0__units`` changes a copy of the layers, and never the caller's.

        Raises:
            ValueError: for a parameter that does not exist.
        """
        super().set_params(**{name: value for name, value in parameters.items() if "__" not in name})
        known = self.get_params(deep=False)
        for name, new in parameters.items():
            first, *path = name.split("__")
            if not path:
                continue
            try:
                if first not in known:
                    raise LookupError(list(known))
                setattr(self, first, _replaced(self._or_default(first, getattr(self, first)), path, new))
            except LookupError as error:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self}. Valid parameters there are: {error.args[0]}"
                ) from None
        return self

    def _or_default(self, name: str, value: Any) -> Any:
        if value is None and name in ("layers", "optimizer"):
            return [Dense(100), ReLU()] if name == "layers" else Adam()
        return value

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "NetworkEstimator":  # noqa: N803
        """Train a new network, or with ``warm_start`` the one there is.

        Args:
            X: inputs (N, F): an array, a data frame, or a sparse matrix, whose rows become dense batch by batch.
            y: the targets of N samples.
            sample_weight: (N,), of at least 0. A weight of 2 counts exactly as two rows do in a full batch.
        """
        first = not (self.warm_start and hasattr(self, "trainer_"))
        x, y, weight = self._checked(X, y, sample_weight, reset=True)
        target, weight = self._encoded(y, reset=first), self._weights(y, weight)
        if weight is not None:
            weight = weight * (len(weight) / weight.sum())  # deepbp divides by N, scikit-learn by the sum of weights
        if first:
            self._start(x, target)
        callbacks, validation = [deepcopy(one) for one in self.callbacks or ()], None
        rows: Any = np.arange(len(target))
        held_out: Any
        if self.early_stopping:
            rows, held_out = train_test_split(
                rows, test_size=self.validation_fraction, random_state=self._seed, stratify=self._strata(target)
            )
            validation = _source(x, target, weight, held_out)
            callbacks.append(EarlyStopping("val_loss", patience=self.patience))
        tasks = _Tasks(self, X, y) if getattr(self, "_skl_callbacks", ()) else None
        self._train(_source(x, target, weight, rows), self.epochs, [*callbacks, *filter(None, [tasks])], validation)
        if tasks is not None:
            tasks.end()
        return self

    def _partial_fit(self, x: Any, y: Any, sample_weight: Any, first: bool) -> None:
        """One epoch. The weights of a part of the data are used as they are."""
        x, y, weight = self._checked(x, y, sample_weight, reset=first)
        target = self._encoded(y, reset=first)
        if first:
            self._start(x, target)
        self._train(_source(x, target, weight, np.arange(len(target))), 1, [], None)

    def _checked(self, x: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Any, Array, Array | None]:
        x, y = validate_data(self, x, y, reset=reset, multi_output=True, **self._kinds_of_targets(), **INPUTS)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
            if not sample_weight.any():
                raise ValueError("sample_weight: expected at least one weight above 0")
        return x, y, sample_weight

    def _start(self, x: Any, target: Array) -> None:
        """A new network and trainer; neither changes what the caller gave."""
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        layers, loss = self._or_default("layers", self.layers), self._loss()
        if not isinstance(layers, list | tuple):
            raise TypeError(
                "layers: expected a list of hidden layers, such as [Dense(100), ReLU()], "
                f"got {shown(layers)}: the output layer follows from y"
            )
        last = {"probabilities": Softmax() if isinstance(loss, ClassTargetLoss) else Sigmoid(), "rates": Softplus()}
        self.network_ = Sequential(
            [*deepcopy(list(layers)), Dense(self._outputs(target)), *filter(None, [last.get(loss.expects)])],
            input_shape=x.shape[1],
            rng=self._seed,
            dtype=self.dtype or x.dtype.name,
        )
        if (columns := getattr(self, "feature_names_in_", None)) is not None:  # also in a file of the network alone
            self.network_.columns = [*map(str, columns)]
        optimizer = deepcopy(self._or_default("optimizer", self.optimizer))
        self.trainer_ = Trainer(self.network_, loss, optimizer, clip_norm=self.clip_norm)

    def _train(self, source: Any, epochs: int, callbacks: list[Callback], validation: Any) -> None:
        x, y, weight = source if isinstance(source, tuple) else (source, None, None)
        if isinstance(validation, tuple) and validation[2] is None:
            validation = validation[:2]
        self.history_ = self.trainer_.fit(
            x,
            y,
            sample_weight=weight,
            epochs=epochs,
            batch_size=self.batch_size,
            validation_data=validation,
            progress=self.progress,
            callbacks=callbacks,
        )
        self.loss_curve_, self.n_iter_ = self.history_["loss"], self.history_.epochs

    def _raw(self, x: Any) -> Array:
        """The network's output, computed in its dtype and returned in that of the inputs."""
        check_is_fitted(self, "network_")
        x = validate_data(self, x, reset=False, **INPUTS)
        if not issparse(x):
            return self.network_.predict(x).astype(x.dtype, copy=False)
        starts = range(0, x.shape[0], ROWS_AT_ONCE)
        parts = [self.network_.predict(x[start : start + ROWS_AT_ONCE].toarray()) for start in starts]
        return np.concatenate(parts).astype(x.dtype, copy=False)

    # What a classifier and a regressor do differently.

    def _kinds_of_targets(self) -> dict[str, Any]:
        return {}

    def _weights(self, y: Array, weight: Array | None) -> Array | None:
        return weight

    def _strata(self, target: Array) -> Array | None:
        return None

    def _loss(self) -> Loss[Any]:
        raise NotImplementedError

    def _encoded(self, y: Array, reset: bool) -> Array:
        raise NotImplementedError

    def _outputs(self, target: Array) -> int:
        return int(target.shape[1])


def _source(x: Any, target: Array, weight: Array | None, rows: Array) -> Any:
    """What a trainer takes: arrays x, y and weights, or a data set of a sparse matrix."""
    target, weight = target[rows], None if weight is None else weight[rows]
    return _SparseRows(x[rows], target, weight) if issparse(x) else (x[rows], target, weight)


@define
class _SparseRows:
    """A data set of the rows of a sparse matrix, dense for as long as a batch needs them."""

    x: Any
    y: Array
    weight: Array | None

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: Sequence[int]) -> list[tuple[Any, ...]]:
        columns = (self.x[rows].toarray(), self.y[rows], *([] if self.weight is None else [self.weight[rows]]))
        return list(zip(*columns, strict=True))


class _Tasks(Callback):
    """The callbacks of scikit-learn, which see a fit as a task, and each epoch as a task in it."""

    def __init__(self, estimator: Any, x: Any, y: Any) -> None:
        self._told = {"estimator": estimator, "X": x, "y": y}
        self._fit = estimator._init_callback_context(max_subtasks=estimator.epochs)
        self._fit.call_on_fit_task_begin(**self._told)

    def on_epoch_start(self, trainer: Trainer) -> None:
        self._epoch = self._fit.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._told)

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        estimator = self._told["estimator"]
        own = estimator.get_params(deep=False).keys()
        learned = {
            name: value for name, value in vars(estimator).items() if name not in own and not name.startswith("_")
        }
        if self._epoch.call_on_fit_task_end(**self._told, reconstruction_attributes=learned):
            trainer.stop()

    def end(self) -> None:
        """The fit is over."""
        self._fit.call_on_fit_task_end(**self._told)


def _nested(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What is inside of a parameter, at any depth: ``layers__0__units`` is an argument of the first of the layers."""
    for key, inside in _arguments(value).items():
        path = f"{name}__{key}"
        yield path, inside
        yield from _nested(path, inside)


def _replaced(value: Any, path: list[str], new: Any) -> Any:
    """A copy of a parameter in which the argument at this path is another one.

    Raises:
        LookupError: if there is no such argument; its last argument lists those that there are.
    """
    if not path:
        return new
    arguments = _arguments(value)
    if path[0] not in arguments:
        raise LookupError(list(arguments))
    arguments[path[0]] = _replaced(arguments[path[0]], path[1:], new)
    return list(arguments.values()) if isinstance(value, list | tuple) else type(value)(**arguments)


def _arguments(value: Any) -> dict[str, Any]:
    if isinstance(value, list | tuple):
        return {str(i): one for i, one in enumerate(value)} if any(attrs.has(type(one)) for one in value) else {}
    return configuration(value) if attrs.has(type(value)) else {}
