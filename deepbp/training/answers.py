"""Answers: the probabilities and classes that a network's outputs stand for, and the names of classes.

The loss of the training gives outputs their meaning. A network remembers this loss, the names of the classes, and the
names of columns; copies and files keep them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import define

from deepbp._tables import as_texts
from deepbp._validation import require_built
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, shown
from deepbp.layers import Chain
from deepbp.layers.chain import columns_of, remember, set_columns
from deepbp.losses import Loss
from deepbp.losses.targets import ClassTargetLoss
from deepbp.typing import Array, Shape


@define(eq=False)
class AnsweringChain(Chain):
    """A chain that remembers what it was trained on, and answers with probabilities and classes."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names of the columns of the data frame that the network was trained on; None if it had none.

        A data frame has these columns, in any order; arrays have no names, and are used as they are. ``fit`` sets the
        names, and files and copies keep them; you may set them, too, and None forgets them.
        """
        return columns_of(self)

    @columns.setter
    def columns(self, columns: Sequence[str] | None) -> None:
        set_columns(self, columns)

    @property
    def target_columns(self) -> tuple[str, ...] | None:
        """The names of the columns of the data frame that held the targets; None if there was none, or one column.

        They are remembered, kept and forgotten as those of the inputs, ``columns``.
        """
        return self.built.target_columns if self.built else None

    @target_columns.setter
    def target_columns(self, columns: Sequence[str] | None) -> None:
        remember(self, target_columns=columns)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes in the order of the outputs; None if targets were numbers.

        ``fit`` sets them from targets that are text, in alphabetical order, and files and copies keep them. Set them
        to give names to the labels 0, 1, …, or before a ``fit`` on a stream; None forgets them. One output has two
        classes: first the name of 0, then that of 1.
        """
        return self.built.classes if self.built else None

    @classes.setter
    def classes(self, classes: Sequence[str] | None) -> None:
        remember(self, classes=classes)

    @property
    def loss(self) -> Loss[Any] | None:
        """The loss that the network was trained with last, which gives its outputs their meaning; None before that.

        A file keeps a loss that is part of deepbp. Set one of your own after loading.
        """
        return self.built.loss if self.built else None

    @loss.setter
    def loss(self, loss: Loss[Any] | None) -> None:
        if not isinstance(loss, Loss | None):
            raise ArgumentTypeError(
                f"loss: expected an instance such as SoftmaxCrossEntropy(), or None, got {shown(loss)}"
            )
        remember(self, loss=loss)

    def predict_proba(self, x: Any, batch_size: int | None = None) -> Array:
        """Predict probabilities: softmax or sigmoid of the outputs, as the loss of the training has it.

        Of the shape of the outputs: (N, C) for classes; (N, 1) for one yes/no answer, the probability of 1; (N, K) for
        several. Arguments: see ``predict``.

        Raises:
            ConfigurationError: if the network was not trained, or if its loss has no probabilities.
        """
        loss = _known_loss(self, "predict_proba")
        found = None if loss.expects in ("rates", "log-rates") else loss.probabilities(_predicted(self, x, batch_size))
        if found is None:
            kind = {"scores": "scores of a margin", "rates": "expected counts", "log-rates": "expected counts"}
            raise ConfigurationError(
                f"predict_proba: outputs trained with {loss} are {kind.get(loss.expects, 'numbers')}, not "
                "probabilities: use net.predict(x)"
            )
        return found

    def predict_classes(self, x: Any, batch_size: int | None = None) -> Array:
        """Predict classes (N,): names, if ``classes`` has them, else the labels 0, 1, ….

        The class of the largest output, or for one yes/no output, whether its probability is above ½. Several yes/no
        outputs give answers 0 or 1 of their shape (N, K). Arguments: see ``predict``.

        Raises:
            ConfigurationError: if the network was not trained, or if its loss has no classes.
        """
        loss = _known_loss(self, "predict_classes")
        shape = require_built(self, self.built).output_shape
        count = classes_of_targets(loss, shape)
        if count is None and not (_has_yes_or_no(loss) and shape):
            raise ConfigurationError(
                f"predict_classes: outputs trained with {loss} stand for no classes: use net.predict(x)"
            )
        labels = predicted_labels(_predicted(self, x, batch_size), loss, shape)
        return labels if self.classes is None or count is None else np.array(self.classes)[labels]


def _predicted(network: Any, x: Any, batch_size: int | None) -> Array:
    """What ``Sequential.predict`` returns."""
    prediction: Array = network.predict(x, batch_size)
    return prediction


def _known_loss(network: AnsweringChain, method: str) -> Loss[Any]:
    require_built(network, network.built)
    if network.loss is None:
        raise ConfigurationError(
            f"{method}: no loss says what the outputs mean, because the network was not trained: call fit first, or "
            "set net.loss, for example to deepbp.losses.SoftmaxCrossEntropy()"
        )
    return network.loss


def _has_yes_or_no(loss: Loss[Any]) -> bool:
    """Whether each output is a yes/no answer of its own; of a sum of losses this is not known."""
    name = type(loss._of_known_targets()).__name__
    return loss.expects in ("probabilities", "logits", "scores") and name not in ("SumOfLosses", "OnOutputs")


def classes_of_targets(loss: Loss[Any], output_shape: Shape) -> int | None:
    """The number of classes of which each target is one: an output for each, or two with one output; else None."""
    if isinstance(loss._of_known_targets(), ClassTargetLoss) and output_shape:
        return output_shape[-1]
    return 2 if _has_yes_or_no(loss) and output_shape == (1,) else None


def predicted_labels(prediction: Array, loss: Loss[Any], output_shape: Shape) -> Array:
    """The classes (N, …) that outputs stand for, of a loss that has classes; answers 0 or 1 where there are several."""
    if isinstance(loss._of_known_targets(), ClassTargetLoss):
        return np.asarray(prediction.argmax(axis=-1))
    labels = (prediction > (0.5 if loss.expects == "probabilities" else 0)).astype(np.intp)
    return labels[..., 0] if output_shape == (1,) else labels


def names_in(texts: Array, loss: Loss[Any], output_shape: Shape) -> tuple[str, ...]:
    """The names of classes in these targets, in alphabetical order.

    Raises DataError unless there are as many as the loss and the outputs have classes.
    """
    names = tuple(np.unique(texts).tolist())
    count = classes_of_targets(loss, output_shape)
    if count != len(names):
        fix = f"build the network with Dense({len(names)}) at its end"
        if count is not None and len(names) < count:
            fix = "set net.classes to all names, in the order of the outputs"
        raise DataError(f"y: expected {count} classes, one for each output, got {len(names)}, {names!r:.100}: {fix}")
    return names


def as_class_numbers(y: Any, names: tuple[str, ...] | None, loss: Loss[Any], output_shape: Shape) -> Any:
    """Text as the labels of its names, or of the alphabet; targets that are numbers are returned as they are.

    Raises DataError for a text that is no name of a class, and for other numbers of names than the loss has classes.
    """
    texts = None if classes_of_targets(loss, output_shape) is None else as_texts(y)
    if texts is None:
        return y
    names = names_in(texts, loss, output_shape) if names is None else names
    numbers = {name: number for number, name in enumerate(names)}
    strange = next((row for row, text in enumerate(texts) if str(text) not in numbers), None)
    if strange is not None:
        raise DataError(
            f"y: expected names of classes, {names!r:.100}, got {str(texts[strange])!r} in row {strange}: use "
            "only rows with these classes, or train a network with an output for it, too"
        )
    return np.array([numbers[str(text)] for text in texts], dtype=np.intp)


def as_numbered_weights(class_weight: Any, y: Any, names: tuple[str, ...] | None) -> Any:
    """Weights of classes by name as weights by label; ``names`` of the network, or those in y, in the alphabet's order.

    Raises ConfigurationError for a name that is none of them.
    """
    if not isinstance(class_weight, Mapping) or not any(isinstance(key, str) for key in class_weight):
        return class_weight
    if names is None and (texts := as_texts(y)) is not None:
        names = tuple(np.unique(texts).tolist())
    if names is None:
        return class_weight
    if strange := [key for key in class_weight if key not in names]:
        raise ConfigurationError(f"class_weight: expected names of classes, {names!r:.100}, got {strange[0]!r}")
    return {names.index(key): weight for key, weight in class_weight.items()}
