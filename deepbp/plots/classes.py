"""Labels, however predictions and targets of a classifier were written."""

from deepbp.arrays import as_numbers
from deepbp.errors import DataTypeError, ShapeError
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
