"""A check: one promise of a contract, held against one object, and the report of those that were broken."""

import linecache
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any, TypeAlias

from attrs import field, frozen

from deepbp._config import without_addresses
from deepbp._validation import as_generator
from deepbp.errors import DeepBPError
from deepbp.layers import Layer
from deepbp.parameters import Parameter
from deepbp.typing import Seed


class CheckFailure(DeepBPError, AssertionError):  # noqa: N818  # pytest's word: an error is something else
    """A promise is broken; the message says which, and why where the numbers show it."""


@frozen(repr=False)
class Check:
    """One promise, such as ``input_gradient``, to be held against one subject, such as ``Dense(4) on (3,)``.

    ``stage``: a check means nothing while one of a lower stage fails. ``str(check)`` makes a readable pytest id.
    """

    subject: str
    name: str
    stage: int
    _function: Callable[[], None] = field(eq=False)

    def run(self) -> None:
        """Raise CheckFailure when the promise is broken, or when the subject's own code raises."""
        try:
            self._function()
        except CheckFailure:
            raise
        except Exception as error:
            raise CheckFailure(blame(error)) from error

    def __str__(self) -> str:
        return f"{self.subject}: {self.name}"

    __repr__ = __str__


Stages: TypeAlias = Sequence[Sequence[Callable[[Any], None]]]
"""Functions of one case, each a check called as the function is, in the order in which they make sense."""


def checks_of(subject: str, case: Any, stages: Stages) -> Iterator[Check]:
    """The checks of one case, lazily: nothing of the subject runs before ``Check.run``."""
    for stage, functions in enumerate(stages):
        for function in functions:
            yield Check(without_addresses(subject), function.__name__, stage, partial(function, case))


Outcome: TypeAlias = tuple[Check, str | None]
"""A check, and what it said: "" where all is well, None where it was not run."""


def outcomes(checks: Iterable[Check]) -> Iterator[Outcome]:
    """Run the checks one by one; those of a later stage than a failure are not run."""
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
    if text := report(list(outcomes(checks))):
        raise CheckFailure(text)


def report(done: Sequence[Outcome]) -> str:
    """All failures in words, a message that several checks share once; "" where nothing failed."""
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
    """A seed for all checks of a subject. None means 0: a verdict is the same each time it is asked for."""
    return int(as_generator(0 if rng is None else rng).integers(2**32))


_HERE = str(Path(__file__).parent)
_NOT_THEIRS = (str(Path(__file__).parent.parent), *map(sysconfig.get_path, ("purelib", "platlib", "stdlib")))


def blame(error: BaseException) -> str:
    """``backward raised ValueError: …``, and the line of the user's file in which it happened."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__) if not frame.f_code.co_filename.startswith(_HERE)]
    lines = {id(frame): line for frame, line in walk_tb(error.__traceback__)}
    method = frames[0].f_code.co_name if frames else "the check"
    text = f"{method} raised {type(error).__name__}: {_with_parameter(str(error), frames)}"
    theirs = [frame for frame in frames if not frame.f_code.co_filename.startswith(_NOT_THEIRS)]
    if theirs:
        path, line = theirs[-1].f_code.co_filename, lines[id(theirs[-1])]
        text += f"\nin {Path(path).name}, line {line}: {linecache.getline(path, line).strip()}"
    return "\n".join([text, *getattr(error, "__notes__", [])])


def _with_parameter(message: str, frames: list[FrameType]) -> str:
    """An error about a gradient's shape comes from the parameter, which does not know its own name."""
    holders = [frame.f_locals.get("self") for frame in frames]
    for layer in (holder for holder in holders if isinstance(holder, Layer)):
        for name, parameter in layer.named_parameters().items():
            if any(holder is parameter for holder in holders if isinstance(holder, Parameter)):
                return f"{name} {message}"
    return message
