"""Saying, of an error raised inside somebody's code, which method raised it and in which line."""

import linecache
import sysconfig
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from deepbp.layers import Layer
from deepbp.parameter import Parameter

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
