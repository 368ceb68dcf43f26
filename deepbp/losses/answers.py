"""Targets of yes-or-no questions: exactly 0 or 1, for losses that know nothing in between."""

from typing import Any

import numpy as np

from deepbp.errors import DataError
from deepbp.losses.loss import Loss, Saved
from deepbp.typing import Array, ArrayLike, Shape


class AnswerLoss(Loss[Saved]):
    """What such losses share: the targets are checked before training, and again where a loss is used by hand."""

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = super().prepare_target(target, output_shape, dtype, name)
        check_answers(array, name)
        return array


def check_answers(target: Array, name: str = "target") -> None:
    """Every number is 0 or 1; −1 and 1, the other custom of the field, are refused with the way to turn them."""
    wrong = target[(target != 0) & (target != 1)]
    if wrong.size:
        fix = f"use ({name} + 1) / 2" if np.isin(target, (-1, 1)).all() else "encode the answers as 0 and 1"
        raise DataError(f"{name}: expected answers 0 or 1, got {wrong.flat[0]}: {fix}")
