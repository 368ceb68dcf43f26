"""The checks of a layer."""

from collections.abc import Iterator
from typing import Any

from deepbp.arrays import as_shape
from deepbp.errors import ArgumentTypeError
from deepbp.layers import Layer
from deepbp.testing.check import Check, Stages, as_seed, checks_of, run_all
from deepbp.testing.layers import (
    accumulation,
    batches,
    copying,
    formulas,
    gradients,
    numbers,
    predicting,
    randomness,
    reuse,
    running,
    writing,
)
from deepbp.testing.layers.case import Inputs, LayerCase, standard_normal
from deepbp.typing import Seed, ShapeLike

STAGES: Stages = (
    (running.class_keeps_the_rules,),
    (running.forward_runs,),
    (running.output_shape_as_built,),
    (running.backward_runs,),
    (
        writing.input_stays,
        writing.delta_stays,
        writing.saved_stays,
        writing.results_stay,
        writing.results_are_not_parameters,
        reuse.parameters_stay,
        randomness.same_seed_same_parameters,
        randomness.same_seed_same_passes,
        randomness.no_global_randomness,
        numbers.dtype_is_kept,
    ),
    (
        gradients.input_gradient,
        gradients.parameter_gradients,
        gradients.kink_gradients,
        gradients.every_parameter_gets_a_gradient,
        accumulation.gradients_accumulate,
        accumulation.used_twice_in_one_net,
        accumulation.backward_parameters_equals_backward,
        reuse.forward_twice_then_backward_of_the_first,
        reuse.interleaved_uses,
        reuse.nothing_kept_on_the_layer,
        reuse.every_parameter_is_found,
        formulas.formula,
        predicting.predict_equals_forward,
        predicting.predict_is_repeatable,
        batches.batch_of_one,
        batches.batch_of_many,
        batches.batch_of_none,
        batches.batched_equals_one_by_one,
        batches.any_memory_layout,
        numbers.float32_agrees_with_float64,
        numbers.extreme_inputs,
        copying.repr_can_be_pasted_back,
        copying.configuration_rebuilds,
        copying.deep_copy,
        copying.pickling,
    ),
)
"""The checks in the order in which they make sense: those of a stage mean nothing while an earlier one fails."""


def layer_checks(
    layer: Layer[Any], input_shape: ShapeLike, *, inputs: Inputs = standard_normal, rng: Seed = None
) -> Iterator[Check]:
    """The checks of a layer one by one; nothing of it runs before ``Check.run``.

    The layer is a prototype: every check builds fresh copies of it, in float64 unless it says otherwise, and a layer
    that was built before is copied as if it had not been. Parameters that start all alike are moved a little, so that
    a symmetric start hides nothing. Where ``surrogate_gradient`` is True, of the layer or of one inside, no gradient is
    held against differences, and the layer's own against its formula alone.

    Args:
        layer: to be checked; small sizes make quick checks.
        input_shape: of one sample.
        inputs: draws what the layer takes, ``inputs(rng, shape)``, where that is not any number: the shape includes
            the batch axis. Checks with inputs of their own choice are then left out. There is no derivative by whole
            numbers, nor by a float that the layer, with a DataError, refuses to see moved a little: then its error
            signal must be 0.
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
    own_choice = () if inputs is standard_normal else (gradients.kink_gradients, numbers.extreme_inputs)
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
