"""The mathematics that an optimizer states is the mathematics that it runs."""

from typing import Any

import numpy as np

from deepbp.testing.formulas import expect_agreement, stated_value, values_of_fields
from deepbp.testing.optimizers.case import STEPS, OptimizerCase


def formula(case: OptimizerCase) -> None:
    """The stated assignments, carried out step by step, give the same values and the same state."""
    stated = case.subject.stated_formula()
    if stated is None:
        return
    parameters = case.parameters()
    state = case.subject.start(parameters)
    fields = values_of_fields(case.subject)
    if "weight_decay" in fields:  # which touches parameters of two or more dimensions only
        decay = np.zeros_like(parameters.values)
        decay[parameters.matrices] = fields["weight_decay"]
        fields["weight_decay"] = decay
    names: dict[str, Any] = {**fields, **{k: np.copy(v) for k, v in state.items()}, "w": parameters.values.copy()}
    for step in range(STEPS):
        names |= {"g": case.gradient(step, parameters.values), "rate": case.subject.rate(step), "t": step + 1}
        case.steps(parameters, state, range(step, step + 1))
        computed = {"w": parameters.values, **{k: v for k, v in state.items() if isinstance(v, np.ndarray)}}
        last = {name: position for position, (name, _) in enumerate(stated.assignments)}
        for position, (name, expression) in enumerate(stated.assignments):
            names[name] = stated_value(name, expression, names)
            if name in computed and last[name] == position:
                expect_agreement(name, expression, names[name], computed[name], f"step, at step {step},")
