"""Labels, however predictions and targets of a classifier were written."""

import numpy as np

from deepbp.arrays import as_numbers
from deepbp.errors import DataTypeError, ShapeError
from deepbp.losses.labels import check_labels
from deepbp.losses.loss import not_arrays
from deepbp.typing import Array, ArrayLike


def as_labels(values: ArrayLike, name: str, threshold: float) -> Array:
    """Labels (N,): as they are; from (N, 1), whether the number is above the threshold; from (N, C), the largest."""
    array = as_numbers(values, name)
    if array.ndim == 2 and array.shape[1] > 1:
        largest: Array = array.argmax(axis=1)
        return largest
    if array.ndim == 2 and array.shape[1] == 1:
        above: Array = (array[:, 0] > threshold).astype(int)
        return above
    if array.ndim != 1:
        raise ShapeError(f"{name}: expected labels (N,) or a score for each class (N, C), got {array.shape}")
    labels: Array = array.astype(int)
    wrong = array[(labels != array) | (labels < 0)]
    if len(wrong):
        raise DataTypeError(f"{name}: expected labels 0, 1, 2, …, got {wrong[0]}")
    return labels


def scores_and_labels(prediction: Array, target: Array, place: str) -> tuple[Array, Array]:
    """Scores (B, …, C) with labels (B, …) or one-hot rows (B, …, C), as scores (N, C) and labels (N,)."""
    if not getattr(prediction, "shape", ()) or not getattr(target, "shape", ()):
        raise not_arrays(prediction=prediction, target=target)
    classes = prediction.shape[-1]
    if prediction.ndim < 2 or classes < 2:
        raise ShapeError(
            f"{place}: expected a score for each of at least 2 classes, (B, …, C), got {prediction.shape}: "
            "answers of a single output have average='binary'"
        )
    check_labels(target, prediction.shape, f"{place}: target")
    labels = target.argmax(axis=-1) if target.ndim == prediction.ndim else target
    return prediction.reshape(-1, classes), labels.reshape(-1).astype(np.intp, copy=False)
