"""Derivations: backpropagation through a network as equations, and one training step with all its numbers."""

from deepbp._config import publish
from deepbp.derivation.derivation import Derivation
from deepbp.derivation.explanation import Explanation
from deepbp.derivation.formula_derivation import FormulaDerivation, derive
from deepbp.derivation.layer_derivation import LayerDerivation
from deepbp.derivation.recording import TraceStep
from deepbp.derivation.steps import Step, steps
from deepbp.derivation.trace import Trace

__all__ = [
    "Derivation",
    "Explanation",
    "FormulaDerivation",
    "LayerDerivation",
    "Step",
    "Trace",
    "TraceStep",
    "derive",
    "steps",
]

publish(__name__)
