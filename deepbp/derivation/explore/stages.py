"""In which stage of the step each part of the drawing is reached, forwards and backwards."""

from collections.abc import Sequence

from attrs import frozen

from deepbp.derivation.backward import uses_of
from deepbp.derivation.price import Price, last_signal
from deepbp.derivation.step import Step
from deepbp.layers.pen import Symbol


def sources_of(steps: Sequence[Step]) -> dict[int, list[int]]:
    """For each step's column, the columns that it is made of; the loss, in the last one, is made of the prediction and
    the penalties.
    """
    column: dict[Symbol, int] = {steps[0].input: 0}
    sources: dict[int, list[int]] = {}
    for position, step in enumerate(steps, start=1):
        sources[position] = list(dict.fromkeys(column[signal] for signal in step.inputs))
        column[step.output] = position
    priced = [column[step.output] for step in steps if isinstance(step, Price)]
    sources[len(steps) + 1] = [column[last_signal(steps)], *priced]
    return sources


@frozen
class Stages:
    """Stage 0 is the input, then one step after another, the loss forwards and backwards, and the steps back again.

    A part that is reached has the stage from which on, ``data-forward`` and ``data-backward``, and the stages at which
    it is what is looked at, ``data-now``.
    """

    steps: Sequence[Step]

    def back(self, position: int) -> int:
        """The stage in which a step is passed on the way back, by its position."""
        return 2 * len(self.steps) + 2 - position

    def of_layer(self, column: int) -> str:
        """What joins a column with those before it."""
        backward = self.back(column - 1)
        return f'data-forward="{column}" data-backward="{backward}" data-now="{column} {backward}"'

    def of_signal(self, column: int) -> str:
        """A column, whose error signal is complete when all that was made of it has been passed."""
        steps = self.steps
        if column == len(steps) + 1:  # the loss
            return f'data-forward="{column}" data-now="{column}"'
        signal = steps[column - 1].output if column else steps[0].input
        is_added = signal == last_signal(steps) or isinstance(steps[column - 1], Price)
        users = [self.back(len(steps))] * (is_added and column > 0)
        users += [self.back(steps.index(step)) for step, _ in uses_of(steps, signal)]
        now = " ".join(map(str, [column, *dict.fromkeys(users)]))
        return f'data-forward="{column}" data-backward="{max(users)}" data-now="{now}"'
