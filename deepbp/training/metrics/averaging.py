"""What precision, recall and their kin share: counts for each class, and ways to average over classes."""

from abc import abstractmethod
from typing import Any, Literal

import numpy as np
from attrs import Attribute, field, frozen

from deepbp.errors import ConfigurationError, ShapeError
from deepbp.errors.validators import finite
from deepbp.losses.loss import check_same_shape
from deepbp.training.metrics.confusion import count_pairs
from deepbp.training.metrics.labels import scores_and_labels
from deepbp.training.metrics.metric import Metric
from deepbp.typing import Array


def one_of(*names: str) -> Any:
    """A validator of a name among these."""

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if not isinstance(value, str) or value not in names:
            raise ConfigurationError(
                f"{type(instance).__name__}: {attribute.name}: expected one of {', '.join(names)}, got {value!r}"
            )

    return validate


@frozen
class Averaged(Metric):
    """A share of counts, for answers or for classes.

    Args:
        average: ``"binary"`` is for answers 0 or 1 of the prediction's shape; those of several outputs, which are
            several labels of each sample, are counted together. The others are for classes, with labels or one-hot
            rows as targets, a sample's class being that of its largest score: ``"macro"`` is the mean over the classes
            that occur, in targets or in predictions; ``"weighted"`` counts each as often as it occurs in the targets;
            ``"micro"`` counts the samples of all classes together, which makes all these metrics the accuracy.
        threshold: of answers: 0.5 for probabilities, 0 for logits.
    """

    higher_is_better = True

    average: Literal["binary", "macro", "micro", "weighted"] = field(
        default="binary", validator=one_of("binary", "macro", "micro", "weighted")
    )
    threshold: float = field(default=0.5, kw_only=True, validator=finite)

    @property
    def name(self) -> str:
        """Such as precision, for answers, or macro_precision."""
        own = type(self).__name__.lower()
        return own if self.average == "binary" else f"{self.average}_{own}"

    @abstractmethod
    def share(self, hits: Array, predicted: Array, true: Array) -> Array:
        """Of each class, given how often it was predicted rightly, predicted at all, and true."""

    def __call__(self, prediction: Array, target: Array) -> float:
        if self.average == "binary":
            return float(self.share(*self._answers(prediction, target)))
        scores, labels = scores_and_labels(prediction, target, type(self).__name__)
        matrix = count_pairs(labels, scores.argmax(axis=1), scores.shape[1])
        hits, predicted, true = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
        if self.average == "micro":
            return float(self.share(hits.sum(), predicted.sum(), true.sum()))
        weights = true if self.average == "weighted" else (predicted + true > 0)
        return float(np.average(self.share(hits, predicted, true), weights=weights))

    def _answers(self, prediction: Array, target: Array) -> tuple[Array, Array, Array]:
        place = type(self).__name__
        if np.shape(prediction)[:-1] == np.shape(target) != () and np.shape(prediction)[-1] > 1:
            raise ShapeError(
                f"{place}: expected answers of the prediction's shape {np.shape(prediction)}, got {np.shape(target)}: "
                f"for labels of classes use {place}('macro')"
            )
        check_same_shape(prediction, target, place)
        yes, true = prediction > self.threshold, target > 0.5
        return (yes & true).sum(), yes.sum(), true.sum()


def ratio(above: Array, below: Array) -> Array:
    """A share of counts; 0 / 0 is 0."""
    return np.asarray(above / np.maximum(below, 1))
