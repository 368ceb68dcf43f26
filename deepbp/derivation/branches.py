"""Where branches begin, each with columns of its own, and where they meet."""

from collections.abc import Mapping

from attrs import frozen

from deepbp.derivation.step import Forms, Step
from deepbp.layers.composites.merging import Merge
from deepbp.layers.pen import Symbol


@frozen(eq=False)
class Cut(Step):
    """Columns of a signal, which go into a branch of their own; ``whole`` is the place of the layer that cuts it."""

    columns: slice
    whole: str

    def made(self) -> Forms:
        return (f"columns(x, {self.columns.start}, {self.columns.stop})",), dict(self.symbols)

    def passed_back(self, index: int = 0) -> Forms:
        return ("delta",), dict(self.symbols)


@frozen(eq=False)
class Join(Step):
    """Where branches meet."""

    merge: Merge

    @property
    def symbols(self) -> Mapping[str, Symbol]:
        signals = {f"x{i}": signal for i, signal in enumerate(self.inputs)}
        return {**signals, "y": self.output, "delta": self.delta}

    def made(self) -> Forms:
        names = [f"x{i}" for i in range(len(self.inputs))]
        match self.merge:
            case "concat":
                made = f"concat({', '.join(names)})"
            case "multiply":
                made = " * ".join(names)
            case "add":
                made = " + ".join(names)
            case "mean":
                made = f"({' + '.join(names)}) / {len(names)}"
        return (made,), dict(self.symbols)

    def passed_back(self, index: int = 0) -> Forms:
        match self.merge:
            case "concat":
                passed = f"columns(delta, {self.start(index)}, {self.start(index + 1)})"
            case "multiply":
                passed = " * ".join(["delta", *(f"x{i}" for i in range(len(self.inputs)) if i != index)])
            case "add":
                passed = "delta"
            case "mean":
                passed = f"delta / {len(self.inputs)}"
        return (passed,), dict(self.symbols)

    def start(self, index: int) -> int:
        """The first column of the output that comes from this branch, where they stand side by side."""
        return sum(shape[-1] for shape in self.input_shapes[:index])


def columns_text(start: int, stop: int) -> str:
    """Columns, as they are counted from 0."""
    return f"column {start}" if stop == start + 1 else f"columns {start} to {stop - 1}"
