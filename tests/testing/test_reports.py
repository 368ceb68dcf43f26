"""Reports of the checks, pytest cases, and input validation of their arguments."""

import re
from typing import Any

import numpy as np
import pytest
from attrs import define
from planted_behaviour import ForwardRaises, PredictDiffers
from planted_gradients import MissingBatchSum, NegativeSignal, TransposedWeightGradient
from right_layers import Dropout, Log, Scale, positive

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError
from deepbp.initializers import Zeros
from deepbp.layers import Dense, Layer, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD
from deepbp.testing import (
    Check,
    CheckFailure,
    check_layer,
    initializer_checks,
    layer_checks,
    loss_checks,
    optimizer_checks,
    parametrize_with_checks,
)
from deepbp.testing.check import describe_exception
from deepbp.testing.comparisons import values_of_fields
from deepbp.testing.gradients import MOST_ENTRIES
from deepbp.typing import Array


def report(layer: Layer[Any], **options: Any) -> str:
    with pytest.raises(CheckFailure) as caught:
        check_layer(layer, (3,), **options)
    return str(caught.value)


def test_report_names_the_check_and_the_cause() -> None:
    text = report(NegativeSignal())
    assert re.match(
        r"NegativeSignal\(\) on samples of shape \(3,\): 1 of \d+ checks failed\n\n  input_gradient\n", text
    )
    assert "∂L/∂x, which backward returns, is the negative of the numeric gradient" in text


def test_report_holds_all_failures() -> None:
    @define(eq=False)
    class TwoMistakes(PredictDiffers):
        def backward(self, x: Array, delta: Array) -> Array:
            return -super().backward(x, delta)

    text = report(TwoMistakes())
    assert "input_gradient" in text
    assert "predict_equals_forward" in text
    assert "3 of " in text  # and a class inside a function cannot be pickled


def test_an_exception_of_several_checks_is_reported_once() -> None:
    text = report(ForwardRaises())
    assert text.count("forward raised ValueError") == 1
    assert re.search(r"1 of 2 checks failed.*\n\n\d+ more checks make sense only when these pass", text, re.DOTALL)


def test_an_error_in_backward_names_the_parameter_and_the_line() -> None:
    text = report(MissingBatchSum())
    assert "gain gradient has shape (5, 3), expected (3,): sum over the batch" in text
    assert "in planted_gradients.py, line" in text
    assert "self.gain.accumulate(x * delta)" in text


def test_a_failure_is_an_assertion_and_one_of_the_packages_errors() -> None:
    assert issubclass(CheckFailure, AssertionError)
    assert issubclass(CheckFailure, DeepBPError)


def test_checks_are_lazy() -> None:
    checks = list(layer_checks(ForwardRaises(), (3,)))
    assert str(checks[1]) == "ForwardRaises() on samples of shape (3,): forward_runs"
    with pytest.raises(CheckFailure):
        checks[1].run()


def test_the_same_seed_gives_the_same_report() -> None:
    assert report(TransposedWeightGradient()) == report(TransposedWeightGradient())
    assert report(TransposedWeightGradient(), rng=1) == report(TransposedWeightGradient(), rng=1)
    assert report(TransposedWeightGradient(), rng=1) != report(TransposedWeightGradient(), rng=2)


def test_the_given_layer_is_not_modified() -> None:
    layer = Scale()
    check_layer(layer, (3,))
    assert layer.built is None
    assert not hasattr(layer, "gain")


def test_a_built_network_is_checked_as_if_unbuilt() -> None:
    net = Sequential([Dense(2), Tanh()], input_shape=(3,), rng=0)
    before = net.parameters()[0].value.copy()
    check_layer(net, (3,))
    np.testing.assert_array_equal(net.parameters()[0].value, before)


def test_large_parameters_are_sampled() -> None:
    calls = 0

    @define(eq=False)
    class Counted(Dense):
        def forward(self, x: Array) -> tuple[Array, Array]:
            nonlocal calls
            calls += 1
            return super().forward(x)

    gradients = {check.name: check for check in layer_checks(Counted(60), (50,))}
    gradients["parameter_gradients"].run()
    assert 2 * MOST_ENTRIES < calls < 3 * MOST_ENTRIES


def test_a_sample_of_a_large_gradient_shows_a_factor_but_no_place() -> None:
    @define(eq=False)
    class Negative(Dense):
        def backward_parameters(self, x: Array, delta: Array) -> None:
            super().backward_parameters(x, -delta)

    checks = {check.name: check for check in layer_checks(Negative(60), (50,))}
    with pytest.raises(CheckFailure, match="∂L/∂weight is the negative of the numeric gradient"):
        checks["parameter_gradients"].run()


def test_custom_inputs_are_used() -> None:
    names = {check.name for check in layer_checks(Log(), (3,), inputs=positive)}
    assert not names & {"kink_gradients", "extreme_inputs"}
    with np.errstate(invalid="ignore"):
        assert "expected finite numbers for ordinary inputs, got nan" in report(Log())


def test_random_layers_are_reset_before_each_evaluation() -> None:
    names = {check.name: check for check in layer_checks(Dropout(0.5), (3,))}
    names["input_gradient"].run()


@parametrize_with_checks(
    [
        (Scale(), (3,)),
        (MeanSquaredError(), (2,)),
        MeanSquaredError(),
        SGD(0.1),
        Zeros(),
        *layer_checks(Log(), (3,), inputs=positive),
    ]
)
def test_each_check_is_a_pytest_case(check: Check) -> None:
    check.run()


def test_parametrize_makes_readable_ids() -> None:
    def test(check: Check) -> None: ...

    mark = parametrize_with_checks([Zeros(), (Scale(), 3)])(test).pytestmark[0]
    assert mark.args[0] == "check"
    ids = [mark.kwargs["ids"](check) for check in mark.args[1]]
    assert ids[0] == "Zeros(): shape_and_dtype"
    assert "Scale() on samples of shape (3,): input_gradient" in ids
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("subject", [Scale(), (3, Scale()), "Scale", Dense, (Dense, (3,)), None], ids=repr)
def test_parametrize_rejects_other_objects(subject: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="expected \\(layer, input_shape\\)"):
        parametrize_with_checks([subject])


def test_invalid_arguments_of_the_checks() -> None:
    with pytest.raises(ArgumentTypeError, match=r"layer: expected an instance.*write Tanh\(\)"):
        layer_checks(Tanh, (3,))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="input_shape: expected sizes of at least 1"):
        layer_checks(Tanh(), (0,))
    with pytest.raises(ArgumentTypeError, match="inputs: expected a callable"):
        layer_checks(Tanh(), (3,), inputs=[1, 2])  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="rng: expected"):
        layer_checks(Tanh(), (3,), rng="seed")  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="loss: expected an instance"):
        loss_checks(SGD(0.1))  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="optimizer: expected an instance"):
        optimizer_checks(Zeros())  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="initializer: expected an instance"):
        initializer_checks(Tanh())  # type: ignore[arg-type]


def test_an_exception_without_a_line_of_the_user_names_no_file() -> None:
    assert describe_exception(ValueError("wrong")) == "the check raised ValueError: wrong"
    with pytest.raises(np.linalg.LinAlgError) as caught:
        np.linalg.inv(np.zeros((1, 2)))
    assert "in test_reports.py, line" in describe_exception(caught.value)  # the deepest frame outside of libraries


def test_a_class_without_attrs_has_no_fields_for_its_formula() -> None:
    assert values_of_fields(object()) == {}


def test_names_of_checks_are_the_same_in_every_process() -> None:
    first = next(optimizer_checks(SGD(lambda step: 0.1)))
    assert str(first).startswith("SGD(<")
    assert " at 0x" not in str(first)
