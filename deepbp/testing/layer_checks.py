"""Conformance checks of layers: the list of all checks, and the functions that run them."""

from collections.abc import Iterator
from typing import Any

from deepbp._validation import as_shape
from deepbp.errors import ArgumentTypeError, shown
from deepbp.layers import Layer
from deepbp.testing import layer_gradients, layer_passes, layer_state
from deepbp.testing.check import Check, Stages, as_seed, checks_of, run_all
from deepbp.testing.layer_case import Inputs, LayerCase, standard_normal
from deepbp.typing import Seed, ShapeLike

__tracebackhide__ = True  # pytest shows no frames of this module

STAGES: Stages = (
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
        layer_passes.inner_graph,
        layer_passes.predict_equals_forward,
        layer_passes.predict_is_repeatable,
        layer_passes.batch_of_one,
        layer_passes.batch_of_many,
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
"""The checks by stage: a check is meaningful only if all checks of earlier stages pass."""


def layer_checks(
    layer: Layer[Any], input_shape: ShapeLike, *, inputs: Inputs = standard_normal, rng: Seed = None
) -> Iterator[Check]:
    """Yield the conformance checks of a layer, lazily: no code of the layer runs before ``Check.run``.

    The layer is a prototype: every check builds unbuilt copies of it, in float64 unless the check concerns dtypes.
    Noise is added to constant parameters, because a symmetric initialization can hide mistakes. If
    ``surrogate_gradient`` is True for the layer or a sublayer, gradients are not compared with differences; the layer's
    own gradient is compared with its formula instead.

    >>> from deepbp.layers import Dense
    >>> from deepbp.testing import layer_checks
    >>> checks = list(layer_checks(Dense(2), input_shape=3))
    >>> len(checks), checks[10].name
    (39, 'same_seed_same_parameters')

    Args:
        layer: the layer to check; small sizes keep the checks fast.
        input_shape: shape of one sample.
        inputs: function ``inputs(rng, shape)`` that draws valid inputs, if not all numbers are valid; the shape
            includes the batch axis. Checks that choose their own inputs are then skipped. Integers have no derivative,
            nor does a float for which the layer raises DataError when it is perturbed: its gradient must be 0.
        rng: seed or generator of the random numbers in the checks. None means the same numbers in each call.

    Raises:
        ArgumentTypeError: if ``layer`` is not a layer, or ``inputs`` is not callable.
        ConfigurationError: if ``input_shape`` is not a shape.
    """
    if not isinstance(layer, Layer):
        hint = f": write {layer.__name__}()" if isinstance(layer, type) else ""
        raise ArgumentTypeError(f"layer: expected an instance of deepbp.layers.Layer, got {shown(layer)}{hint}")
    if not callable(inputs):
        raise ArgumentTypeError(f"inputs: expected a callable (rng, shape) -> array, got {shown(inputs)}")
    shape = as_shape(input_shape)
    case = LayerCase(layer, shape, as_seed(rng), inputs)
    own_choice = () if inputs is standard_normal else (layer_gradients.kink_gradients, layer_passes.extreme_inputs)
    stages = tuple(tuple(check for check in stage if check not in own_choice) for stage in STAGES)
    return checks_of(f"{layer} on samples of shape {shape}", case, stages, (layer_passes.class_keeps_the_rules,))


def check_layer(
    layer: Layer[Any], input_shape: ShapeLike, *, inputs: Inputs = standard_normal, rng: Seed = None
) -> None:
    """Run all conformance checks of a layer: gradient checks, and the rest of the contract.

    See ``layer_checks`` for the arguments.

    >>> from deepbp.layers import Dense
    >>> from deepbp.testing import check_layer
    >>> check_layer(Dense(2), input_shape=3)  # returns None if all checks pass

    Raises:
        CheckFailure: if a check fails, with one report of all failures. It is also an AssertionError.
    """
    run_all(layer_checks(layer, input_shape, inputs=inputs, rng=rng))
