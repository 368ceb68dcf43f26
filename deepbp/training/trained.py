"""Which parameters a trainer trains: those of its model that were not frozen when it was made."""

from typing import Any, Self

from attrs import define

from deepbp.errors import ConfigurationError
from deepbp.layers import Layer
from deepbp.parameter import Parameter, ParameterVector


@define(eq=False)
class Trained:
    """The vector of those that are trained, and a list of those that must not be."""

    model: Layer[Any]
    vector: ParameterVector
    frozen: list[Parameter]

    @classmethod
    def of(cls, model: Layer[Any]) -> Self:
        """As the model is now. Raises ConfigurationError where there is nothing to train."""
        vector = ParameterVector.of(model.named_trainable_parameters())
        if not vector.parameters:
            frozen = " that are not frozen" if model.parameters() else ""
            raise ConfigurationError(f"{type(model).__name__}: has no parameters{frozen}: there is nothing to train")
        return cls(model, vector, [parameter for parameter in model.parameters() if parameter.frozen])

    def check(self) -> None:
        """A glance before a step: ``take``, where another vector has them, or some were frozen or let back in."""
        if not self.vector.is_current() or (self.frozen and not all(parameter.frozen for parameter in self.frozen)):
            self.take()

    def take(self) -> None:
        """Take the parameters back, should another trainer have laid them into a vector of its own.

        Raises ConfigurationError where they are not the same any more: the optimizer's state is of others.
        """
        vector = ParameterVector.of(self.model.named_trainable_parameters())
        if vector.parameters != self.vector.parameters:
            raise ConfigurationError(
                "the model's parameters are not those it had: make a new Trainer, as after each freeze or unfreeze"
            )
        self.vector = vector
