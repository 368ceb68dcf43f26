"""The objective function for numerical optimizers such as SciPy's: the loss of all samples at one flat vector."""

from collections.abc import Callable
from copy import deepcopy
from math import isclose, isfinite, sqrt
from typing import Any

import numpy as np

from deepbp._validation import as_numbers, as_type
from deepbp.errors import ConfigurationError, NonFiniteError, ShapeError
from deepbp.layers import Layer
from deepbp.layers.chain import remember
from deepbp.losses import Loss
from deepbp.losses.loss import broken_pair
from deepbp.parameters import ParameterVector
from deepbp.processes import Processes
from deepbp.training.data import Data, build_for, learn_names, names_in_data
from deepbp.training.overflow import first_bad_gradient, first_overflow, ignoring_errors, warn_if_squashed_twice
from deepbp.training.scale import adapt
from deepbp.training.together import batch_norms, samples_in, weights_of
from deepbp.typing import Array, ArrayLike


class Objective:
    """Objective function f(values): the loss of a network with these parameters, and its gradient by backpropagation.

    The loss includes penalties. The objective works on a copy, so the network is unchanged until ``assign`` writes
    values into it. Values and gradients are float64, as optimizers expect; a float32 network still computes in float32,
    where line searches end early: build it with ``dtype="float64"``. A copy or pickle of an objective, such as in
    ``differential_evolution(workers=2)``, includes a copy of the network, to which its ``assign`` writes.

    >>> from scipy.optimize import minimize
    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import SumSquaredError
    >>> net = Sequential([Dense(1)], input_shape=1, rng=0, dtype="float64")
    >>> objective = net.objective([[0.0], [1.0]], [[1.0], [3.0]], SumSquaredError())
    >>> result = minimize(objective.value_and_gradient, objective.start, jac=True, method="BFGS")
    >>> objective.assign(result.x)
    >>> net.predict([[10.0]]).round(3)
    array([[21.]])

    Args:
        model: a Sequential, or another built layer. Its frozen parameters are constants.
        sample_weight: a weight for each sample.
        processes: several processes, each of which computes a part of the sums over the samples; see ``Processes``.
            All call the objective with the same values, as an optimizer that runs in each of them does.

    Attributes:
        start: (P,) the network's trainable parameters end to end, in the order of a ``ParameterVector``: those of two
            or more dimensions first.

    Raises:
        ConfigurationError: if there is nothing to train, or the loss is random, for example because of dropout; for a
            ``BatchNorm`` with several processes.
        NonFiniteError: if the loss or the gradient overflows.
    """

    start: Array

    def __init__(
        self,
        model: Layer[Any],
        loss: Loss[Any],
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        processes: Processes | None = None,
    ) -> None:
        self.loss = loss
        self.processes = processes if processes is not None and processes.size > 1 else None
        part, group = (slice if self.processes is None else self.processes.part), self.processes or Processes()
        build_for(model, x, y)
        every = group.of_each(Data.of, model, loss, x, y, sample_weight, None, part)
        self.data = next(every.batches(None, part=part))
        self._original, self._names = model, names_in_data(model, loss, x, y)
        self.model = deepcopy(model)
        adapt(self.model, every, self.processes)
        self.parameters = ParameterVector.of(self.model.trainable_parameters())
        self._weights = 1.0, 0.0, 1.0  # of this process's samples in a sum over all
        if self.processes is not None:
            self._share(self.processes)
        if not self.parameters.parameters:
            frozen = " that are not frozen" if model.parameters() else ""
            raise ConfigurationError(f"{type(model).__name__}: has no parameters{frozen}: there is nothing to train")
        self._buffers = list(self.model.named_buffers().values())
        self.start = self.parameters.values.astype(np.float64)
        warn_if_squashed_twice(model, loss)
        self._refuse_randomness()

    def __call__(self, values: ArrayLike) -> float:
        """Compute the loss."""
        self.place(values)
        return ignoring_errors(self._loss_alone if self.processes is None else self._loss_of_all)[0]

    def gradient(self, values: ArrayLike) -> Array:
        """Compute ∂L/∂values, (P,)."""
        return self.value_and_gradient(values)[1]

    def value_and_gradient(self, values: ArrayLike) -> tuple[float, Array]:
        """Compute the loss and ∂L/∂values in one pass, for ``jac=True``."""
        self.place(values)
        return ignoring_errors(self._backpropagate if self.processes is None else self._gradient_of_all)

    def assign(self, values: ArrayLike) -> None:
        """Write these values into the network, and the buffers of the copy, such as running means."""
        self.place(values)
        learn_names(self._original, *self._names)
        remember(self._original, loss=self.loss)
        parameters, buffers = self._original.named_parameters(), self._original.named_buffers()
        for name, own in self.model.named_parameters().items():
            parameters[name].value = own.value
        for name, held in self.model.named_buffers().items():
            buffers[name].value, buffers[name].frozen = held.value, held.frozen

    def place(self, values: ArrayLike) -> None:
        """Write these values into the copy. Raises DataError for NaN, infinity and values too large for the dtype."""
        array = as_type(as_numbers(values, "values"), "values", self.parameters.values.dtype)
        if array.shape != self.start.shape:
            raise ShapeError(f"values: expected one for each parameter, shape {self.start.shape}, got {array.shape}")
        self.parameters.values[...] = array

    def _forward(self) -> tuple[float, Any, Any]:
        """The loss, and what the model and the loss have saved for the backward pass."""
        data, kept = self.data, [buffer.value.copy() for buffer in self._buffers]
        prediction, saved = self.model.forward(data.x)
        pair = self.loss.forward(prediction, data.y, data.sample_weight)
        try:
            value, loss_saved = pair
            value = self._weights[2] * float(value) + self.model.penalty(saved)
        except (TypeError, ValueError):
            raise broken_pair(self.loss, pair) from None
        if not isfinite(value):
            place = first_overflow(self.model, self.loss, data.x, data.y) or "the loss itself"
            for buffer, before in zip(self._buffers, kept, strict=True):
                buffer.value = before  # running means that took in an overflow would spoil every prediction
            raise NonFiniteError(
                f"objective: the loss became {value}; the first place that is not finite: {place}: "
                "try inputs scaled to about ±1, and values nearer to the start"
            )
        return value, saved, loss_saved

    def _backpropagate(self) -> tuple[float, Array]:
        self.parameters.clear_grads()
        value, saved, loss_saved = self._forward()
        delta = self.loss.backward(loss_saved)
        self.model.backward_parameters(saved, delta if self._weights[2] == 1 else delta * self._weights[2])
        gradient = self.parameters.grads.astype(np.float64)
        if not np.isfinite(gradient).all():
            name = first_bad_gradient(self.model, self.parameters)
            raise NonFiniteError(
                f"objective: a gradient is not finite, that of {name}, at a loss of {value:.4g}: "
                "try inputs scaled to about ±1, and values nearer to the start"
            )
        return value, gradient

    def _loss_alone(self) -> tuple[float, Array]:
        return self._forward()[0], np.zeros(0)

    def _loss_of_all(self) -> tuple[float, Array]:
        return self._sum_over_processes(self._loss_alone)

    def _gradient_of_all(self) -> tuple[float, Array]:
        return self._sum_over_processes(self._backpropagate)

    def _share(self, processes: Processes) -> None:
        """Begin with the first process's parameters, and find the weight of this one's samples."""
        if batch_norms(self.model):
            raise ConfigurationError(
                "objective: a BatchNorm would take the statistics of each process's samples: use fit(processes=...)"
            )
        self.parameters.values[...] = processes.of_first(lambda: self.parameters.values)
        part = self.data if len(self.data) else None
        samples = samples_in(part, self.loss, self.model)
        weight, divisor, scale = weights_of(samples, self.loss, self.model.has_penalty(), processes.sum)
        divisor = float(processes.sum(np.array([divisor]))[0]) or 1.0
        self._weights = weight / divisor, divisor, scale

    def _sum_over_processes(self, compute: Callable[[], tuple[float, Array]]) -> tuple[float, Array]:
        """The sum of a loss and its gradient over all processes; if one is not finite, all raise NonFiniteError."""
        processes: Any = self.processes
        size = 0 if compute == self._loss_alone else len(self.start)
        numbers, problem = np.zeros(size + 2), None
        try:
            if len(self.data):
                numbers[0], numbers[2:] = compute()
                numbers *= self._weights[0]
        except NonFiniteError as error:
            problem, numbers[1] = str(error), 1
        processes.sum(numbers)
        if numbers[1]:
            raise processes._agreed(NonFiniteError(next(filter(None, processes.gather(problem)))))
        return float(numbers[0]), numbers[2:]

    def _refuse_randomness(self) -> None:
        first, again = self(self.start), self(self.start)
        if not isclose(first, again, rel_tol=sqrt(np.finfo(self.parameters.values.dtype).eps)):
            raise ConfigurationError(
                f"objective: with the same values the loss is {first:.6g} once and {again:.6g} again: a layer draws at "
                "random when it is trained, such as Dropout: leave it out, or train with fit"
            )
