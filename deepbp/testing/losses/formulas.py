"""The mathematics that a loss states is the mathematics that it runs."""

import numpy as np

from deepbp.testing.formulas import expect_agreement, stated_value, values_of_fields
from deepbp.testing.losses.case import LossCase


def formula(case: LossCase) -> None:
    """The stated formula, evaluated, gives the loss and its derivative."""
    stated = case.subject.stated_formula()
    if stated is None:
        return
    prediction, target = case.pair()
    value, saved = case.subject.forward(prediction.copy(), target.copy())
    delta = case.subject.backward(saved)
    if target.shape == prediction.shape[:-1] and target.dtype.kind in "iu":
        target = np.eye(prediction.shape[-1])[target]
    names = {
        **values_of_fields(case.subject),
        "prediction": prediction,
        "target": target,
        "n": prediction.size,
        "rows": prediction.size // prediction.shape[-1],
        "classes": prediction.shape[-1],
    }
    expect_agreement("L", stated.value, stated_value("L", stated.value, names), np.asarray(value), "forward")
    moved = stated_value("∂L/∂prediction", stated.delta, names)
    expect_agreement("∂L/∂prediction", stated.delta, moved, delta, "backward")
