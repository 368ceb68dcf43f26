"""The memory of large activations: glibc keeps it from step to step, where it would return it after each array.

A step with images makes arrays of megabytes in every layer. By default, the C library of Linux asks the operating
system for each of them, which fills it with zeros page by page, and returns it when the array is gone: thousands of
page faults a step, up to half of the time. From the first such array on, it keeps what was freed for the next ones; the
process then holds the memory of its largest step until it ends.

The environment variable DEEPBP_KEEP_MEMORY=0 leaves the C library as it is, and so does one of its own settings.
"""

import ctypes
import os
import sys

LARGE = 128 * 1024
"""Bytes of an array for which glibc asks the operating system by default."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, in glibc's malloc.h
_HIGHEST = (2**30, 2**25)  # older versions of glibc take no more than 32 MB
_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")

STATE = "as the C library does by default"
"""What happens to freed memory, in words."""

_decided = False


def keep_memory(size: int) -> None:
    """Let the C library keep freed memory, if this is the size of a large array; once in a process."""
    global _decided, STATE
    if _decided or size <= LARGE:
        return
    _decided = True
    STATE = _decide()


def _decide() -> str:
    if os.environ.get("DEEPBP_KEEP_MEMORY") == "0":
        return "as the C library does by default (DEEPBP_KEEP_MEMORY=0)"
    own = [name for name in _OWN if name in os.environ]
    if own:
        return f"as {own[0]} says"
    if not sys.platform.startswith("linux"):
        return STATE
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # of glibc alone
        kept = any(library.mallopt(_MMAP_THRESHOLD, highest) for highest in _HIGHEST)
        kept = bool(library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)) and kept
    except (AttributeError, OSError):
        return STATE
    return "kept for later steps, since large arrays occurred (DEEPBP_KEEP_MEMORY=0 returns it)" if kept else STATE
