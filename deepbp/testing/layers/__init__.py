"""The checks of a layer."""

from collections.abc import Iterator
from typing import Any

from deepbp.arrays import as_shape
from deepbp.errors import ArgumentTypeError
from deepbp.layers import Layer
from deepbp.testing.check import Check, Stages, as_seed, checks_of, run_all
from deepbp.testing.layers import gradients, running
from deepbp.testing.layers.case import Inputs, LayerCase, standard_normal
from deepbp.typing import Seed, ShapeLike

STAGES: Stages = (
    (running.class_keeps_the_rules,),
    (running.forward_runs,),
    (running.output_shape_as_built,),
    (running.backward_runs,),
    (
        gradients.input_gradient,
        gradients.parameter_gradients,
        gradients.kink_gradients,
        gradients.every_parameter_gets_a_gradient,
        gradients.gradients_accumulate,
        gradients.used_twice_in_one_net,
        gradients.backward_parameters_equals_backward,
    ),
)


def layer_checks(
    layer: Layer[Any], input_shape: ShapeLike, *, inputs: Inputs = standard_normal, rng: Seed = None
) -> Iterator[Check]:
    """The checks of a layer one by one; nothing of it runs before ``Check.run``.

    The layer is a prototype: every check builds fresh copies of it, in float64 unless it says otherwise, and a layer
    that was built before is copied as if it had not been. Parameters that start all alike are moved a little, so that
    a symmetric start hides nothing.

    Args:
        layer: to be checked; small sizes make quick checks.
        input_shape: of one sample.
        inputs: draws what the layer takes, ``inputs(rng, shape)``, where that is not any number: the shape includes
            the batch axis. Checks with inputs of their own choice are then left out.
        rng: a seed or generator for all that is drawn. None means the same numbers each time.

    Raises:
        ArgumentTypeError, ConfigurationError: for something other than a layer, or for no shape.
    """
    if not isinstance(layer, Layer):
        hint = f": write {layer.__name__}()" if isinstance(layer, type) else ""
        raise ArgumentTypeError(f"layer: expected an instance of deepbp.layers.Layer, got {layer!r}{hint}")
    if not callable(inputs):
        raise ArgumentTypeError(f"inputs: expected a callable (rng, shape) -> array, got {inputs!r}")
    shape = as_shape(input_shape)
    case = LayerCase(layer, shape, as_seed(rng), inputs)
    own_choice = () if inputs is standard_normal else (gradients.kink_gradients,)
    stages = tuple(tuple(check for check in stage if check not in own_choice) for stage in STAGES)
    return checks_of(f"{layer} on samples of shape {shape}", case, stages)


def check_layer(
    layer: Layer[Any], input_shape: ShapeLike, *, inputs: Inputs = standard_normal, rng: Seed = None
) -> None:
    """Run every check of a layer; see ``layer_checks`` for the arguments.

    Raises:
        CheckFailure: one report of all broken promises, in words. It is an AssertionError, too.
    """
    run_all(layer_checks(layer, input_shape, inputs=inputs, rng=rng))
