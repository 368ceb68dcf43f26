"""Training data: arrays in memory, and the source of batches for whatever else is given."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
from attrs import define

from deepbp._tables import as_plain_array, as_texts, in_order, labels_of, library_of
from deepbp._validation import (
    as_numbers,
    as_samples,
    as_type,
    check_same_length,
    check_sample_shape,
    input_dtype,
    require_built,
)
from deepbp.errors import (
    ArgumentTypeError,
    ConfigurationError,
    DataError,
    DeepBPError,
    NotBuiltError,
    ShapeError,
    shown,
)
from deepbp.errors.validators import whole
from deepbp.layers import Layer
from deepbp.layers.chain import columns_of, remember, set_columns
from deepbp.losses import Loss, sample_weights
from deepbp.losses.loss import weight_column
from deepbp.training.answers import AnsweringChain, as_class_numbers, as_numbered_weights, classes_of_targets, names_in
from deepbp.training.lazy import (
    Blocks,
    Items,
    Splittable,
    fetch,
    inputs_of,
    is_lazy,
    is_mapping,
    length_of,
    parts_of,
    parts_of_batches,
)
from deepbp.training.streams import Stream, called
from deepbp.typing import Array, ArrayLike, Shape

ROWS_AT_ONCE = 4096  # of a prediction from a source that is not in memory
AS_DICT = "give batches weights as {0: 1.0, 1: 5.0}"


@define(eq=False)
class Data(Splittable):
    """Validated training data: inputs x (N, …), targets y (N, …) and weights, (N,) or of the targets' shape.

    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.training import Data
    >>> net = Sequential([Dense(1)], input_shape=2, rng=0)
    >>> data = Data.of(net, MeanSquaredError(), [[1, 2], [3, 4], [5, 6]], [[0], [1], [2]])
    >>> [(len(batch), batch.x.dtype.name) for batch in data.batches(2)]
    [(2, 'float32'), (1, 'float32')]

    Attributes:
        rows: the rows in use, None for all.
        dtype: the dtype that batches of x are converted to, None if x has it already.
    """

    x: Array
    y: Array
    sample_weight: Array | None = None
    rows: Array | None = None
    dtype: np.dtype[Any] | None = None

    @classmethod
    def of(
        cls,
        model: Layer[Any],
        loss: Loss[Any],
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | Mapping[str, float] | str | None = None,
        part: Callable[[int], slice] = slice,
    ) -> Self:
        """Validate the data and convert them to the model's dtype; arrays that have it are not copied.

        A ``numpy.memmap`` may be larger than the memory, so the batches of one of another dtype are converted one by
        one, and one of several processes looks for NaN only in its ``part`` of n rows.
        """
        if not isinstance(model, Layer):
            raise ArgumentTypeError(f"model: expected a layer, such as a Sequential, got {shown(model)}")
        built = model.built
        if built is None:
            raise NotBuiltError(
                f"{type(model).__name__}: not built yet: give input_shape=..., or call build(input_shape)"
            )
        if not isinstance(loss, Loss):
            raise ArgumentTypeError(f"loss: expected an instance such as MeanSquaredError(), got {shown(loss)}")
        if type(x) is not np.ndarray:
            x = in_order(x, columns_of(model), "x")
        later, categories = None, built.takes_categories
        if isinstance(x, np.memmap):
            if x.dtype != (dtype := input_dtype(x, built.dtype, categories)):
                later = dtype
            _check_part(x, part, lambda rows: as_numbers(rows, "x"))
            x = np.asarray(x)
            check_sample_shape(x, "x", built.input_shape)
        else:
            x = as_samples(x, "x", built.input_shape, built.dtype, categories=categories)
        if type(y) is not np.ndarray:
            y = in_order(y, built.target_columns, "y", "target_columns")
        if class_weight is not None:
            class_weight = as_numbered_weights(class_weight, y, built.classes)
        if type(y) is not np.ndarray or y.dtype.kind in "OUT":
            y = as_class_numbers(y, built.classes, loss, built.output_shape)
        if isinstance(y, np.memmap) and y.ndim:
            y = _targets_of_file(y, loss, built.output_shape, built.dtype, part)
        else:
            y = loss.prepare_target(y, built.output_shape, built.dtype)
        if sample_weight is not None:
            sample_weight = as_type(as_numbers(sample_weight, "sample_weight"), "sample_weight", built.dtype)
            if sample_weight.shape[1:] != y.shape[1 : sample_weight.ndim]:
                whole = f", or one for each target, shape {y.shape}" if y.ndim > 1 else ""
                raise ShapeError(f"sample_weight: expected one weight a sample{whole}, got shape {sample_weight.shape}")
            if sample_weight.min() < 0:
                raise DataError(f"sample_weight: expected weights of at least 0, got {sample_weight.min()}")
        if len(x) != len(y) or sample_weight is not None:
            check_same_length(x=x, y=y, sample_weight=sample_weight)
        if class_weight is not None:
            by_class = sample_weights(class_weight, y, built.output_shape).astype(built.dtype, copy=False)
            if sample_weight is not None:
                by_class = weight_column(by_class, sample_weight) * sample_weight
            sample_weight = by_class
        return cls(x, y, sample_weight, dtype=later)

    @classmethod
    def ready(cls, model: Layer[Any], x: Any, y: Any, sample_weight: Any) -> Self | None:
        """The data without validation of their values, if their dtypes and shapes already fit; otherwise None.

        NaN and invalid labels are found later, by the loss or the check of its value.
        """
        built = model.built
        fits = (
            built is not None
            and sample_weight is None
            and type(x) is type(y) is np.ndarray
            and x.dtype == input_dtype(x, built.dtype, built.takes_categories)
            and x.ndim > 0
            and x.shape[1:] == built.input_shape
            and y.shape[:1] == x.shape[:1] != (0,)
            and (y.dtype == built.dtype or (y.dtype == np.intp and y.shape[1:] != built.output_shape))
        )
        return cls(x, y) if fits else None

    def __len__(self) -> int:
        return len(self.x) if self.rows is None else len(self.rows)

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self)

    def take(self, rows: Array | slice) -> Self:
        """Select the samples at these rows; a slice copies nothing."""

        def select(array: Array) -> Array:
            return array[rows] if isinstance(rows, slice) else array.take(rows, axis=0)

        weight = None if self.sample_weight is None else select(self.sample_weight)
        x = select(self.x) if self.dtype is None else as_type(select(self.x), "x", self.dtype)
        return type(self)(x, select(self.y), weight)

    def targets(self, rows: Array) -> tuple[Array, Array | None]:
        """The targets and the weights of the samples at these rows."""
        weight = None if self.sample_weight is None else self.sample_weight.take(rows, axis=0)
        return self.y.take(rows, axis=0), weight

    def batches(
        self,
        batch_size: int | None,
        rng: np.random.Generator | None = None,
        skip: int = 0,
        part: Callable[[int], slice] = slice,
    ) -> Iterator[Self]:
        """Iterate over all samples once, ``batch_size`` at a time (None: all at once); the last batch may be smaller.

        With a generator the rows, not the batches, are shuffled; the arrays are not modified. The first ``skip``
        batches are left out, for an epoch that is resumed. ``part`` selects those of n rows of a batch that are read.
        """
        rows, samples = self.rows, len(self)
        size = samples if batch_size is None else batch_size
        if rng is not None and size < samples:  # the order within a full batch does not matter
            rows = rng.permutation(samples if rows is None else rows)
        if rows is None and size >= samples and self.dtype is None and part is slice:
            return iter(() if skip else (self,))
        parts = parts_of_batches(samples, size, skip, part)
        return map(self.take, parts if rows is None else (rows[one] for one in parts))


def _check_part(array: Any, part: Callable[[int], slice], check: Callable[[Any], Array]) -> Array:
    """``check`` of this process's rows of a file, at least one; if it raises, of all, for the place in the error."""
    if array.ndim == 0:
        return check(array)
    start = part(len(array)).start or 0
    rows = array[start : max(part(len(array)).stop, start + 1)]
    try:
        return check(rows)
    except DeepBPError:
        if len(rows) < len(array):
            check(array)
        raise


def _targets_of_file(
    y: Any, loss: Loss[Any], shape: Shape, dtype: np.dtype[Any], part: Callable[[int], slice]
) -> Array:
    """Validated targets, which stay where they are if the loss takes them so; otherwise they are converted."""
    prepared = _check_part(y, part, lambda rows: loss.prepare_target(rows, shape, dtype))
    if type(prepared) is np.ndarray and np.may_share_memory(prepared, y):
        return np.asarray(y).reshape(len(y), *prepared.shape[1:])
    return loss.prepare_target(y, shape, dtype)


class Source(Protocol):
    """A source of batches: arrays, a data set, or a stream."""

    @property
    def samples(self) -> int | None:
        """The number of samples of an epoch, None if it is not known."""

    @abstractmethod
    def batches(
        self,
        batch_size: int | None,
        rng: np.random.Generator | None = None,
        skip: int = 0,
        part: Callable[[int], slice] = slice,
    ) -> Iterator[Data]:
        """Yield the batches of one epoch, in an order that ``rng`` draws, without the first ``skip``.

        ``part`` is the share of one of several processes: a slice of n rows, of which batches have those alone.
        """


def as_source(
    model: Layer[Any],
    loss: Loss[Any],
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    class_weight: Mapping[int, float] | Mapping[str, float] | str | None = None,
    steps_per_epoch: int | None = None,
    learns: bool = False,
    part: Callable[[int], slice] = slice,
) -> Data | Items | Stream | Blocks:
    """The source of batches for ``fit``: arrays x and y, or x alone, a data set or a stream of batches.

    ``learns`` is whether the model remembers the names of columns; ``part`` is one process's share of n rows.
    """

    def check(x: Any, y: Any, sample_weight: Any = None, part: Callable[[int], slice] = slice) -> Data:
        data = Data.of(model, loss, x, y, sample_weight, class_weight, part)
        if learns:
            learn_names(model, *names_in_data(model, loss, x, y))
        return data

    if y is not None:
        if steps_per_epoch is not None:
            raise ConfigurationError("steps_per_epoch: is for streams of batches; arrays have an epoch of their own")
        if not (type(x) is type(y) is np.ndarray) and (is_lazy(x) or is_lazy(y)):
            if isinstance(class_weight, str):
                raise ConfigurationError(f"class_weight: {class_weight!r} counts labels, all in memory: {AS_DICT}")
            return Blocks(x, y, sample_weight, check)
        return check(x, y, sample_weight, part)
    if sample_weight is not None:
        raise ConfigurationError("sample_weight: batches without y bring their weights themselves: (x, y, weight)")
    if is_mapping(x):
        return as_source(
            model,
            loss,
            *_arrays(x),
            class_weight=class_weight,
            steps_per_epoch=steps_per_epoch,
            learns=learns,
            part=part,
        )
    if isinstance(class_weight, str):
        raise ConfigurationError(f"class_weight: {class_weight!r} counts all labels: {AS_DICT}")
    if x is None or isinstance(x, list | tuple | str | Data | type) or hasattr(x, "__array__") or library_of(x):
        fix = (
            "give them, or instead of x a data set whose items are (x, y), or a function that returns an iterator of "
            "batches (x, y)"
        )
        if isinstance(x, list) and x and (isinstance(x[0], tuple) or is_mapping(x[0])):
            fix = "write fit(*zip(*samples)) for a list of samples (x, y), and fit(lambda: batches) for one of batches"
        raise ArgumentTypeError(f"y: expected the targets, got None: {fix}")
    if hasattr(x, "__getitem__") and hasattr(x, "__len__"):
        if steps_per_epoch is None:
            return Items(x, check, len(require_built(model, model.built).input_shape))
        if not isinstance(x, Iterable):
            raise ConfigurationError("steps_per_epoch: is for streams of batches; a data set has an epoch of its own")
    if callable(x) or isinstance(x, Iterable):
        return Stream(x, check, steps_per_epoch)
    raise ArgumentTypeError(f"x: expected arrays, a data set, an iterable of batches or what makes one, got {shown(x)}")


Names: TypeAlias = tuple[str, ...] | None


def names_in_data(model: Layer[Any], loss: Loss[Any], x: Any, y: Any) -> tuple[Names, Names, Names]:
    """The names of columns of inputs and targets in data for a built model, and of classes, if it knows none yet."""
    built = require_built(model, model.built)
    texts = None
    if built.classes is None and classes_of_targets(loss, built.output_shape) is not None:
        texts = as_texts(y)
    return labels_of(x), labels_of(y), None if texts is None else names_in(texts, loss, built.output_shape)


def learn_names(model: Layer[Any], columns: Names, targets: Names, classes: Names) -> None:
    """Remember the names in the data that a model is trained on, unless it has some. One target has no order."""
    built = require_built(model, model.built)
    if columns is not None and columns_of(model) is None:
        set_columns(model, columns)
    if targets is not None and len(targets) > 1 and built.target_columns is None:
        remember(model, target_columns=targets)
    if classes is not None and built.classes is None:
        remember(model, classes=classes)


def build_for(model: Any, x: Any, y: Any) -> None:
    """Build a network that has no ``input_shape`` for the samples of these data."""
    if isinstance(model, AnsweringChain) and model.built is None:
        network: Any = model  # a Sequential makes its own builder
        network.build(first_shape(x, y))


def _arrays(group: Any) -> tuple[Any, ...]:
    """The arrays x, y and maybe sample_weight of a dict, an npz file, or a group of a file."""
    try:
        return parts_of(group, "pass two of its arrays instead, as x and y")
    except DeepBPError as error:
        raise error.placed("x") from None


def input_batches(x: Any, convert: Callable[[Any], Array], batch_size: int | None, dimensions: int) -> Iterator[Array]:
    """The inputs of a prediction, converted batch by batch: of arrays, of anything else that ``fit`` takes alone.

    Of items and batches that are pairs (x, y), or (x, y, sample_weight), the inputs are used. ``dimensions`` are those
    of a sample.
    """
    x = inputs_of(x, dimensions + 1) if is_mapping(x) else x
    kind: Any = x  # what is tested; x itself stays Any for type checkers
    in_memory = isinstance(kind, list | tuple | str | set | type | memoryview | None)
    in_memory = in_memory or hasattr(kind, "__array__") or bool(library_of(kind))
    if is_lazy(kind):
        size, rows = ROWS_AT_ONCE if batch_size is None else batch_size, np.broadcast_to(False, length_of(x, "x"))
        blocks = Blocks(x, rows, None, lambda inputs, _: inputs).batches(size) if len(rows) else ()
        yield from (_placed(convert, inputs, number * size) for number, inputs in enumerate(blocks))
    elif isinstance(kind, np.memmap) and batch_size is not None:
        for start in range(0, len(x), batch_size):
            yield _placed(convert, x[start : start + batch_size], start)
    elif in_memory or not (callable(kind) or isinstance(kind, Iterable) or hasattr(kind, "__getitem__")):
        array = convert(x)
        yield from (array[rows] for rows in blocks_of_rows(len(array), batch_size))
    elif hasattr(kind, "__getitem__") and hasattr(kind, "__len__"):
        size = ROWS_AT_ONCE if batch_size is None else batch_size
        for start in range(0, len(x), size):
            rows = np.arange(start, min(start + size, len(x)))
            (inputs,) = fetch(x, rows, lambda item: (inputs_of(item, dimensions),), dimensions)
            yield _placed(convert, inputs, start)
    else:
        for number, batch in enumerate(called(x)):
            try:
                yield convert(inputs_of(batch, dimensions + 1))
            except DeepBPError as error:
                raise error.placed(f"batch {number}") from None


def blocks_of_rows(count: int, batch_size: int | None) -> list[slice]:
    """The rows of each batch of a prediction; None divides large data into blocks, to save memory."""
    size = ROWS_AT_ONCE if batch_size is None else batch_size
    last = count - size + 1 if batch_size is None else count  # a remainder is part of the last block
    ends = [*range(size, last, size), count]
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _placed(convert: Callable[[Any], Array], rows: Any, start: int) -> Array:
    try:
        return convert(np.asarray(rows))
    except DeepBPError as error:
        raise error.placed(f"rows from {start} on") from None


def pad_sequences(sequences: Sequence[ArrayLike], value: float = 0, length: int | None = None) -> tuple[Array, Array]:
    """Pad sequences of different lengths: an array (N, T, …) with ``value`` behind each, and the mask (N, T).

    The mask is 1 for real steps and 0 for padding: the ``sample_weight`` of targets with one number, or label, a step.
    Whole numbers stay whole, so that labels can be padded, too.

    Args:
        sequences: arrays or lists (Tᵢ, …), whose sizes but the first are the same.
        value: what padding consists of, as ``padding`` of ``Masked``; as a label, the ``ignore_label`` of a loss.
        length: T; the longest by default.

    Raises:
        DataError: for no sequences, and for one longer than T, which is never cut.
        ShapeError: for sequences whose steps have different shapes.

    >>> from deepbp.training import pad_sequences
    >>> x, mask = pad_sequences([[3, 1], [4, 1, 5]])
    >>> x.tolist(), mask.tolist()
    ([[3, 1, 0], [4, 1, 5]], [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    """
    if len(sequences) == 0:
        raise DataError("sequences: expected at least one sequence, got none")
    arrays = [as_plain_array(one, f"sequences[{i}]") for i, one in enumerate(sequences)]
    for i, array in enumerate(arrays):
        if array.ndim == 0 or array.shape[1:] != arrays[0].shape[1:]:
            shapes = f"{arrays[0].shape} and {array.shape}"
            raise ShapeError(f"sequences[{i}]: expected steps of the same shape in all sequences, got arrays {shapes}")
    longest = max(map(len, arrays)) if length is None else whole("length", length)
    kinds = np.result_type(*{array.dtype for array in arrays}, *([] if float(value).is_integer() else [np.float64]))
    x = np.full((len(arrays), longest, *arrays[0].shape[1:]), value, kinds)
    mask = np.zeros((len(arrays), longest), np.float32)
    for i, array in enumerate(arrays):
        if len(array) > longest:
            fix = f"give length={len(array)} or more, or the part of it that counts, such as sequence[-{longest}:]"
            raise DataError(f"sequences[{i}]: expected at most {longest} steps, got {len(array)}: {fix}")
        x[i, : len(array)] = array
        mask[i, : len(array)] = 1
    return x, mask


def first_shape(x: Any, y: Any) -> Shape:
    """The shape of one sample, for building a network that has no input_shape."""
    if y is None and is_mapping(x):
        return first_shape(*_arrays(x)[:2])
    if is_lazy(x):
        return tuple(map(int, x.shape[1:]))
    if y is not None or hasattr(x, "__array__") or isinstance(x, list | tuple):
        return as_numbers(x, "x").shape[1:]
    if hasattr(x, "__getitem__") and hasattr(x, "__len__") and len(x):
        return as_plain_array(parts_of(x[0])[0], f"x in item 0 of the data set {type(x).__name__}").shape
    raise NotBuiltError("Sequential: nobody knows the sizes of a stream's samples before: give input_shape=...")
