"""Conformance checks: running them in stages, and reporting failures."""

import linecache
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeAlias

from attrs import field, frozen

from deepbp._config import without_addresses
from deepbp._validation import as_generator
from deepbp.errors import DeepBPError
from deepbp.layers import Layer
from deepbp.parameters import Parameter
from deepbp.testing.exception_advice import advice
from deepbp.typing import Seed

__tracebackhide__ = True  # pytest shows no frames of this module


class CheckFailure(DeepBPError, AssertionError):  # noqa: N818  # pytest's word: an error is something else
    """Assertion error of a failed check; the message names the broken rule and, where the numbers show it, the cause.

    >>> from attrs import define
    >>> from deepbp.layers import ReLU
    >>> from deepbp.testing import CheckFailure, check_layer
    >>> @define(eq=False)
    ... class Wrong(ReLU):
    ...     def backward(self, saved, delta):
    ...         return delta.copy()
    >>> try:
    ...     check_layer(Wrong(), 4)
    ... except CheckFailure as failure:
    ...     print(str(failure).splitlines()[3])
        ∂L/∂x, which backward returns, is delta itself: was the layer's own derivative forgotten?
    """


@frozen(repr=False)
class Check:
    """Conformance check: one named test, such as ``input_gradient``, of one subject, such as ``Dense(4)``.

    A check is meaningful only if all checks of a lower ``stage`` pass. ``str(check)`` is a
    readable pytest id.

    >>> from deepbp.layers import Dense
    >>> from deepbp.testing import layer_checks
    >>> check = next(layer_checks(Dense(2), 3))
    >>> print(check)
    Dense(2) on samples of shape (3,): class_keeps_the_rules
    >>> check.run()  # returns None if the check passes
    """

    subject: str
    name: str
    stage: int
    _function: Callable[[], None] = field(eq=False)

    def run(self) -> None:
        """Run the check; raises CheckFailure if it fails, or if the subject's own code raises."""
        try:
            self._function()
        except CheckFailure:
            raise
        except Exception as error:
            raise CheckFailure(describe_exception(error)) from error

    def __str__(self) -> str:
        return f"{self.subject}: {self.name}"

    __repr__ = __str__


Stages: TypeAlias = Sequence[Sequence[Callable[[Any], None]]]
"""Check functions grouped by stage; each takes the test case, and its name is the name of the check."""


def checks_of(
    subject: str, case: Any, stages: Stages, independent: Sequence[Callable[[Any], None]] = ()
) -> Iterator[Check]:
    """Yield the checks of one case. No code of the subject runs before ``Check.run``.

    Args:
        independent: checks that come first, and on which no other check depends.
    """
    for stage, functions in ((len(stages), independent), *enumerate(stages)):
        for function in functions:
            yield Check(without_addresses(subject), function.__name__, stage, partial(function, case))


Outcome: TypeAlias = tuple[Check, str | None]
"""A check and its result: "" if it passed, the failure message if it failed, None if it was skipped."""


def run_in_stages(checks: Iterable[Check]) -> Iterator[Outcome]:
    """Run the checks in order, skipping the stages after the first stage with a failure."""
    failed_stage: int | None = None
    for check in checks:
        if failed_stage is not None and check.stage > failed_stage:
            yield check, None
            continue
        try:
            check.run()
            yield check, ""
        except CheckFailure as failure:
            failed_stage = check.stage
            yield check, str(failure)


def run_all(checks: Iterable[Check]) -> None:
    """Run every check and raise one report of all failures."""
    if text := report(list(run_in_stages(checks))):
        raise CheckFailure(text)


def report(done: Sequence[Outcome]) -> str:
    """Format all failures, listing checks with the same message together; "" if none failed."""
    failures: dict[str, list[str]] = {}
    for check, message in done:
        if message:
            failures.setdefault(message, []).append(check.name)
    if not failures:
        return ""
    skipped = sum(message is None for _, message in done)
    lines = [f"{done[0][0].subject}: {sum(map(len, failures.values()))} of {len(done) - skipped} checks failed"]
    for message, names in failures.items():
        indented = message.replace("\n", "\n    ")
        lines.append(f"\n  {', '.join(names)}\n    {indented}")
    if skipped:
        lines.append(f"\n{skipped} more checks make sense only when these pass, and were not run.")
    return "\n".join(lines)


def as_seed(rng: Seed) -> int:
    """Return one seed for all checks of a subject. None means 0, so that results are reproducible."""
    return int(as_generator(0 if rng is None else rng).integers(2**32))


_KIT_PATH = str(Path(__file__).parent)
_LIBRARY_PATHS = (str(Path(__file__).parent.parent), *map(sysconfig.get_path, ("purelib", "platlib", "stdlib")))


def describe_exception(error: BaseException) -> str:
    """Attribute an exception to user code: ``backward raised ValueError: …``, and the line of the user's file."""
    entries = [entry for entry in _entries(error.__traceback__) if not _file(entry).startswith(_KIT_PATH)]
    frames = [entry.tb_frame for entry in entries]
    method = frames[0].f_code.co_name if frames else "the check"
    text = f"{method} raised {type(error).__name__}: {_with_parameter(str(error), frames)}"
    theirs = [entry for entry in entries if not _file(entry).startswith(_LIBRARY_PATHS)]
    hints: list[str] = []
    if theirs:
        path, line = _file(theirs[-1]), theirs[-1].tb_lineno
        text += f"\nin {Path(path).name}, line {line}: {linecache.getline(path, line).strip()}"
        hints = [hint] if (hint := advice(error, theirs[-1])) else []
    return "\n".join([text, *hints, *getattr(error, "__notes__", [])])


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _file(entry: TracebackType) -> str:
    return entry.tb_frame.f_code.co_filename


def _with_parameter(message: str, frames: list[FrameType]) -> str:
    """Prefix the message with the parameter's name if a parameter raised it; a parameter does not store its name."""
    # The traceback's frames hold both objects as `self`: the parameter that raised, and the layer that can name it.
    holders = [frame.f_locals.get("self") for frame in frames]
    for layer in (holder for holder in holders if isinstance(holder, Layer)):
        for name, parameter in layer.named_parameters().items():
            if any(holder is parameter for holder in holders if isinstance(holder, Parameter)):
                return f"{name} {message}"
    return message
