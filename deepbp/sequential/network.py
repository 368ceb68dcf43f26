"""What is done to a whole network from outside: looked at and explained."""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define

from deepbp.errors import NotBuiltError
from deepbp.layers import Chain, Layer
from deepbp.layers.layer import Built
from deepbp.layers.summary import Summary, summarize
from deepbp.losses import Loss
from deepbp.optimizers import Optimizer
from deepbp.training import Objective
from deepbp.typing import ArrayLike

if TYPE_CHECKING:
    from deepbp.derivation.derivation import Derivation
    from deepbp.derivation.trace import Trace


@define(eq=False)
class Network(Chain):
    """A chain that can be asked about itself. Rooms of a higher floor are entered when they are asked for."""

    def summary(self) -> Summary:
        """A table of layers, output shapes, parameters and formulas, with totals; it prints itself."""
        return summarize(self)

    def derivation(self, loss: Loss[Any], optimizer: Optimizer | None = None) -> "Derivation":
        """Backpropagation through this network, written out: it prints itself, as text, LaTeX or HTML."""
        from deepbp.derivation.derivation import Derivation

        return Derivation.of(self, loss, optimizer)

    def trace(self, x: ArrayLike, y: ArrayLike, loss: Loss[Any], sample_weight: ArrayLike | None = None) -> "Trace":
        """One step with every number it makes, which prints itself; the network stays as it is."""
        from deepbp.derivation.trace import Trace

        return Trace.of(self, x, y, loss, sample_weight)

    def objective(
        self, x: ArrayLike, y: ArrayLike, loss: Loss[Any], sample_weight: ArrayLike | None = None
    ) -> Objective:
        """The loss on these data as a function of one flat vector, which SciPy's optimizers take; see ``Objective``."""
        return Objective(self, loss, x, y, sample_weight)

    def explore(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: Loss[Any],
        sample_weight: ArrayLike | None = None,
        *,
        path: str | PathLike[str] = "step.html",
    ) -> Path:
        """Write a page in which the step that ``trace`` makes can be played layer by layer; returns where it is."""
        from deepbp.derivation.explore import write_page

        return write_page(self.trace(x, y, loss, sample_weight), path)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer[Any]]:
        return iter(self.layers)

    def _known(self) -> Built:
        if self.built is None:
            raise NotBuiltError(
                "Sequential: its sizes are not known yet: give input_shape=..., or call build or fit first"
            )
        return self.built
