"""Sequential: a network of layers, with training, prediction, evaluation, explanation and serialization."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, overload

import numpy as np
import numpy.typing as npt
from attrs import define, field

from deepbp import kernels
from deepbp._rich import preformatted
from deepbp._suggestions import FOREIGN_METHODS, add_foreign_methods
from deepbp._validation import as_dtype, as_generator, as_samples, as_shape
from deepbp.errors import ArgumentTypeError, ConfigurationError, NotBuiltError, PositionError, ShapeError, shown
from deepbp.errors.validators import explain_call
from deepbp.layers import Builder, Chain
from deepbp.layers.boundary import Built, is_inner_call
from deepbp.layers.chain import AnyLayer
from deepbp.losses import Loss
from deepbp.metrics.metric import check_metrics
from deepbp.optimizers import Optimizer
from deepbp.parameters import Parameter
from deepbp.processes import Processes
from deepbp.storage import LIMIT
from deepbp.training import History, MetricLike, Trainer, evaluate
from deepbp.training.answers import AnsweringChain
from deepbp.training.data import ROWS_AT_ONCE as ROWS_OF_PREDICTION
from deepbp.training.data import as_source, first_shape
from deepbp.training.evaluation import ROWS_AT_ONCE
from deepbp.training.options import FitOptions, check_batch_size
from deepbp.training.overflow import usual_errors
from deepbp.training.predictions import Predictions
from deepbp.training.progress import ProgressLike
from deepbp.training.trainer import CallbackLike
from deepbp.typing import Array, ArrayLike, Seed, Shape, ShapeLike

if TYPE_CHECKING:
    from pathlib import Path

    from deepbp.derivation.derivation import Derivation
    from deepbp.derivation.trace import Trace
    from deepbp.files.weights import WeightsReport
    from deepbp.summary import Summary
    from deepbp.training.objective import Objective


@define(eq=False)
class Network(AnsweringChain):
    """A chain with summary, derivation and trace. Modules that are rarely used are imported when they are called."""

    def _repr_html_(self) -> str:
        """The summary for a notebook; the constructor call before the network is built."""
        return preformatted(repr(self)) if self.built is None else self.summary()._repr_html_()

    def summary(self) -> "Summary":
        """Summarize the network: a table of layers, output shapes, parameters and formulas, with totals."""
        from deepbp.summary import summarize

        return summarize(self)

    def derivation(self, loss: Loss[Any], optimizer: Optimizer | None = None) -> "Derivation":
        """Derive backpropagation through this network: a document that prints as text, LaTeX or HTML."""
        from deepbp.derivation.derivation import Derivation

        return Derivation.of(self, loss, optimizer)

    def trace(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: Loss[Any],
        sample_weight: ArrayLike | None = None,
        optimizer: Optimizer | None = None,
    ) -> "Trace":
        """Trace one training step, which changes no network: all its numbers, and an optimizer's first update."""
        from deepbp.derivation.trace import Trace

        return Trace.of(self, x, y, loss, sample_weight, optimizer)

    def script(self, loss: Loss[Any], optimizer: Optimizer) -> str:
        """Write a chain of layers and its training step out as a NumPy script, without deepbp."""
        from deepbp.derivation.script import script

        return script(self, loss, optimizer)

    def objective(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: Loss[Any],
        sample_weight: ArrayLike | None = None,
        *,
        processes: Processes | None = None,
    ) -> "Objective":
        """The objective function for SciPy's optimizers: the loss on these data at a flat vector; see ``Objective``."""
        from deepbp.training.objective import Objective

        return Objective(self, loss, x, y, sample_weight, processes=processes)

    def explore(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: Loss[Any],
        sample_weight: ArrayLike | None = None,
        *,
        path: str | PathLike[str] = "step.html",
        optimizer: Optimizer | None = None,
    ) -> "Path":
        """Write an interactive HTML page that plays the step of ``trace`` layer by layer; returns its path."""
        from deepbp.derivation.explore import write_page

        return write_page(self.trace(x, y, loss, sample_weight, optimizer), path)

    def parameter(self, name: str) -> Parameter:
        """The parameter at this path, such as ``"0.weight"``. Raises PositionError if there is none."""
        named = self.named_parameters()
        if not isinstance(name, str) or name not in named:
            listed = ", ".join(map(repr, named)) or "none before the network is built"
            raise PositionError(f"{type(self).__name__}: parameter: expected one of {listed}, got {shown(name)}")
        return named[name]

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in FOREIGN_METHODS]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[AnyLayer]:
        return iter(self.layers)

    def _known(self) -> Built:
        if self.built is None:
            raise NotBuiltError(
                "Sequential: its sizes are not known yet: give input_shape=..., or call build or fit first"
            )
        return self.built


add_foreign_methods(Network)


def _as_input_shape(shape: ShapeLike | None) -> Shape | None:
    return None if shape is None else as_shape(shape, any_size=True)


def _dtype_name(dtype: npt.DTypeLike | None) -> str | None:
    return None if dtype is None else as_dtype(dtype).name


@define(eq=False)
class Sequential(Network):
    """A network of layers, one after another: y = fₙ(… f₂(f₁(x))). It is a layer itself, so networks nest.

    ``predict`` and ``evaluate`` do not change the network, so several threads may call them at once.

    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense, Tanh
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import Adam
    >>> net = Sequential([Dense(8), Tanh(), Dense(1)], input_shape=2, rng=0)
    >>> x, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]
    >>> history = net.fit(x, y, loss=MeanSquaredError(), optimizer=Adam(0.05), epochs=200)
    >>> net.predict(x).round().astype(int).ravel().tolist()  # exclusive or
    [0, 1, 1, 0]

    Args:
        layers: from the first, which gets the input, to the last.
        input_shape: the shape of a sample, which builds the network at once; None for a size that differs from batch to
            batch, as in ``(None, 8)`` for sequences, and in ``(None, None, 3)`` for images of any size. Otherwise
            ``build``, the first ``fit``, or the network that contains this one does.
        rng: a seed or generator for initial values, dropout and shuffling. None differs every time.
        dtype: of all parameters and activations, ``"float32"`` (the default) or ``"float64"``.

    Raises:
        ArgumentTypeError, ConfigurationError: if ``layers`` is not a list of layers, or is empty.
        ShapeError: if a layer cannot have this input shape.
    """

    validates_itself = ("predict",)
    lower_predict = Chain.lower_predict

    _input_shape: Shape | None = field(default=None, alias="input_shape", kw_only=True, converter=_as_input_shape)
    rng: Seed = field(default=None, kw_only=True)
    _dtype: str | None = field(default=None, alias="dtype", kw_only=True, converter=_dtype_name)
    generator: np.random.Generator = field(init=False)
    _predictions: Predictions = field(init=False, metadata={"copied": False})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._predictions = Predictions(self)  # a copy makes programs of its own

    def __attrs_post_init__(self) -> None:
        self._predictions = Predictions(self)
        self.generator = as_generator(self.rng)
        if self._input_shape is not None:
            self.build(self._input_shape)

    @classmethod
    def from_configuration(cls, input_shape: ShapeLike | None = None, **arguments: Any) -> Self:
        """Construct a network without building it, as a file does, which has all numbers and needs no first values."""
        network = cls(**arguments)
        network._input_shape = _as_input_shape(input_shape)
        return network

    @property
    def input_shape(self) -> Shape | None:
        """The shape of a sample; None if it is not known yet."""
        return self.built.input_shape if self.built else self._input_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of all parameters and activations."""
        return self.built.dtype if self.built else as_dtype(self._dtype or "float32")

    def build(self, input_shape: ShapeLike, builder: Builder | None = None) -> Shape:
        """Build the layers: create their parameters for samples of this shape, and return the output shape."""
        shape = as_shape(input_shape, any_size=True)
        if builder is None:
            builder = Builder(self.generator, self.dtype)
            try:
                return builder.build(self, shape)
            except Exception:
                builder.undo()
                raise
        if not isinstance(builder, Builder):
            raise ArgumentTypeError(f"Sequential: builder: expected a Builder, got {shown(builder)}")
        if self._dtype is not None and builder.dtype != self._dtype:
            raise ConfigurationError(f"Sequential: dtype={self._dtype!r} stands in a network of {builder.dtype}")
        if self._input_shape not in (None, shape):  # of a network from a file, which was not built at once
            raise ShapeError(f"a Sequential was built for {self._input_shape}, and gets {shape}")
        return super().build(shape, builder if self.rng is None else builder.with_rng(self.generator))

    @explain_call
    def fit(
        self,
        x: Any,
        y: ArrayLike | None = None,
        *,
        loss: Loss[Any],
        optimizer: Optimizer,
        epochs: int = 1,
        batch_size: int | None = 32,
        shuffle: bool = True,
        validation_data: Any = None,
        validation_split: float = 0.0,
        metrics: Sequence[MetricLike] = (),
        callbacks: Sequence[CallbackLike] = (),
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | Mapping[str, float] | str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        non_finite: Literal["raise", "skip"] = "raise",
        steps_per_epoch: int | None = None,
        prefetch: int = 0,
        rng: Seed = None,
        progress: ProgressLike = None,
        validation_steps: int | None = None,
        validation_every: int = 1,
        stratify: bool = False,
        processes: Processes | None = None,
        threads: int = 1,
    ) -> History:
        """Train the network and return the history.

        Each call starts with a new optimizer state; a ``Trainer`` keeps it from call to call. Ctrl-C ends the training
        after the current step.

        Args:
            x, y: arrays; or x alone, a data set or stream; see ``Trainer.fit``.
            loss, optimizer, metrics, callbacks, clip_norm, clip_value, accumulate, non_finite, rng, processes, threads:
                see ``Trainer``.
            epochs, batch_size, and all others: see ``Trainer.fit``.
        """
        options = FitOptions(
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            validation_data=validation_data,
            validation_split=validation_split,
            sample_weight=sample_weight,
            class_weight=class_weight,
            steps_per_epoch=steps_per_epoch,
            prefetch=prefetch,
            progress=progress,
            validation_steps=validation_steps,
            validation_every=validation_every,
            stratify=stratify,
        )
        if self.built is None:
            self.build(first_shape(x, y))
        trainer = Trainer(
            self,
            loss,
            optimizer,
            metrics=metrics,
            callbacks=callbacks,
            clip_norm=clip_norm,
            clip_value=clip_value,
            accumulate=accumulate,
            non_finite=non_finite,
            rng=rng,
            processes=processes,
            threads=threads,
        )
        return usual_errors(trainer._fit, x, y, options)

    def __call__(self, x: Any) -> Array:
        """``predict(x)``."""
        return self.predict(x)

    def predict(self, x: Any, batch_size: int | None = None) -> Array:
        """Predict: the outputs for these inputs, computed for ``batch_size`` samples at a time to save memory.

        None, the default, computes up to 8191 samples at once, and more in blocks of 4096. The number of rows may
        change the last digits of a matrix product: ``batch_size=len(x)`` computes all at once.

        x may be anything that ``fit`` takes: an array or data frame, a data set, a stream of batches, or an array on
        disk, which is read and converted batch by batch.
        """
        if batch_size is not None:
            check_batch_size(batch_size)
        elif kernels.current() == "numba" and type(x) is np.ndarray and (y := self._predictions(x)) is not None:
            return y
        built = self._known()
        if is_inner_call() and isinstance(x, np.ndarray):
            return Chain.predict(self, x)  # the network around this one has validated the data
        if batch_size is None and type(x) is np.ndarray and x.shape < (2 * ROWS_OF_PREDICTION,):
            try:
                shape, dtype, categories = built.input_shape, built.dtype, built.takes_categories
                samples = as_samples(x, "x", shape, dtype, self._first_place, categories=categories)
                return Chain._run_predict(self, samples)
            except (FloatingPointError, RuntimeWarning):
                pass  # numpy.seterr raises where NumPy's own setting does not
        return usual_errors(self._predictions.of_batches, x, batch_size, self._first_place)

    def _run_predict(self, x: Array) -> Array:
        return self._predictions.run(x)

    @explain_call
    def evaluate(
        self,
        x: Any,
        y: ArrayLike | None = None,
        *,
        loss: Loss[Any],
        metrics: Sequence[MetricLike] = (),
        batch_size: int | None = ROWS_AT_ONCE,
        sample_weight: ArrayLike | None = None,
        steps: int | None = None,
    ) -> dict[str, float]:
        """Evaluate: the loss and the metrics on these data, ``{"loss": …}``.

        The data may be anything that ``fit`` takes; ``steps`` is the number of batches of a stream, None for all.
        """
        self._known()
        check_batch_size(batch_size)
        data = as_source(self, loss, x, y, sample_weight, steps_per_epoch=steps)
        return evaluate(self, loss, check_metrics(metrics), data.batches(batch_size))

    @overload
    def save(self, path: str | PathLike[str]) -> "Path": ...

    @overload
    def save(self, path: BinaryIO) -> BinaryIO: ...

    def save(self, path: str | PathLike[str] | BinaryIO) -> "Path | BinaryIO":
        """Serialize the network to a file, ``.npz`` or ``.safetensors``, or a stream, for ``deepbp.load``."""
        from deepbp.files.network import save

        return save(self, path)

    def save_weights(
        self, path: str | PathLike[str], *, convention: Literal["deepbp", "keras", "pytorch"] = "deepbp"
    ) -> "Path":
        """Serialize parameters and buffers alone, also for PyTorch or Keras; see ``deepbp.files.save_weights``."""
        from deepbp.files.exported_weights import save_weights

        return save_weights(self, path, convention=convention)

    def load_weights(
        self,
        path: str | PathLike[str] | BinaryIO | bytes | Mapping[str, Any] | Sequence[Any],
        *,
        strict: bool = True,
        names: Mapping[str, str] | None = None,
        convention: Literal["deepbp", "keras", "pytorch"] = "deepbp",
        limit: int = 4 * 2**30,
    ) -> "WeightsReport":
        """Load parameters and buffers from a file, or a ``state_dict``; see ``deepbp.files.load_weights``."""
        from deepbp.files.weights import load_weights

        return load_weights(self, path, strict=strict, names=names, convention=convention, limit=limit)

    def _first_place(self) -> str:
        return self._place(0)

    @overload
    def __getitem__(self, position: int) -> AnyLayer: ...

    @overload
    def __getitem__(self, position: slice) -> "Sequential": ...

    def __getitem__(self, position: int | slice) -> "AnyLayer | Sequential":
        """A layer; or, for a slice, a network of some of the layers, which shares their parameters."""
        if not isinstance(position, slice):
            try:
                return self.layers[position]
            except (IndexError, TypeError):
                raise PositionError(
                    f"Sequential: expected a position from {-len(self)} to {len(self) - 1}, got {shown(position)}"
                ) from None
        try:
            layers = list(self.layers[position])
        except (TypeError, ValueError) as error:
            raise PositionError(
                f"Sequential: expected whole numbers in a slice, got {shown(position)}: {error}"
            ) from None
        part = Sequential(layers, rng=self.generator, dtype=self.dtype.name)
        if self.built is not None and (position.step or 1) == 1:
            start = position.indices(len(self))[0]
            part.build(self.shapes[start])
            if start == 0:
                part.columns = self.columns
        return part


def load(path: str | PathLike[str] | BinaryIO | bytes, custom: Sequence[Any] = (), *, limit: int = LIMIT) -> Sequential:
    """Deserialize a network from a file that ``net.save`` or ``Trainer.save`` has written.

    It predicts the same as the network that was saved, bit by bit on the same machine. Loading either succeeds or
    raises an error; it never returns a partly loaded network, and it runs no code from the file. A hostile file can at
    worst be refused; with ``custom``, this depends on what those classes do with their arguments.

    >>> import deepbp
    >>> from deepbp.layers import Dense
    >>> net = deepbp.Sequential([Dense(2)], input_shape=3, rng=0)
    >>> again = deepbp.load(net.save("net.npz"))
    >>> again, bool((again.predict([[1, 2, 3]]) == net.predict([[1, 2, 3]])).all())
    (Sequential([Dense(2)], input_shape=(3,), rng=0), True)

    Args:
        path: of the file; or a binary stream, or the contents of a file as ``bytes``.
        custom: classes and functions that are not deepbp's own, such as ``[MyLayer]``; a file knows them by name.
        limit: the largest file to be read, in bytes.

    Raises:
        FileFormatError: for a file that is damaged, of another kind or of a newer version, or names other classes.
        OSError: when there is no such file, or it may not be read.
    """
    from deepbp.files.network import load_network

    return load_network(path, Sequential, custom, limit)


Sequential.__module__ = load.__module__ = "deepbp"  # the public path, which pickles name
