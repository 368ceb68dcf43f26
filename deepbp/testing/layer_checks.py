"""The checks of a layer."""

from collections.abc import Iterator
from typing import Any

from deepbp._validation import as_shape
from deepbp.errors import ArgumentTypeError
from deepbp.layers import Layer
from deepbp.testing import layer_gradients, layer_passes, layer_state
from deepbp.testing.check import Check, Stages, as_seed, checks_of, run_all
from deepbp.testing.layer_case import Inputs, LayerCase, standard_normal
from deepbp.typing import Seed, ShapeLike

STAGES: Stages = (
    (layer_passes.class_keeps_the_rules,),
    (layer_passes.forward_runs,),
    (layer_passes.output_shape_as_built,),
    (layer_passes.backward_runs,),
    (
        layer_state.input_stays,
        layer_state.delta_stays,
        layer_state.saved_stays,
        layer_state.results_stay,
        layer_state.results_are_not_parameters,
        layer_state.parameters_stay,
        layer_passes.same_seed_same_parameters,
        layer_passes.same_seed_same_passes,
        layer_passes.no_global_randomness,
        layer_passes.dtype_is_kept,
    ),
    (
        layer_gradients.input_gradient,
        layer_gradients.parameter_gradients,
        layer_gradients.kink_gradients,
        layer_gradients.every_parameter_gets_a_gradient,
        layer_gradients.gradients_accumulate,
        layer_gradients.used_twice_in_one_net,
        layer_gradients.backward_parameters_equals_backward,
        layer_state.forward_twice_then_backward_of_the_first,
        layer_state.interleaved_uses,
        layer_state.nothing_kept_on_the_layer,
        layer_state.every_parameter_is_found,
        layer_gradients.formula,
        layer_passes.predict_equals_forward,
        layer_passes.predict_is_repeatable,
        layer_passes.batch_of_one,
        layer_passes.batch_of_many,
        layer_passes.batch_of_none,
        layer_passes.batched_equals_one_by_one,
        layer_passes.any_memory_layout,
        layer_passes.float32_agrees_with_float64,
        layer_passes.extreme_inputs,
        layer_state.repr_can_be_pasted_back,
        layer_state.configuration_rebuilds,
        layer_state.deep_copy,
        layer_state.pickling,
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
    own_choice = () if inputs is standard_normal else (layer_gradients.kink_gradients, layer_passes.extreme_inputs)
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
