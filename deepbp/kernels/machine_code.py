"""Storage of machine code: compiled kernels are kept on disk, so that a machine compiles each of them once.

A file is named by a digest of everything that determines its content: the sources of all kernels, the types of the
arguments, the processor, and the versions. So code that was compiled from other sources, or for another machine, is
never found. Each file begins with a digest of the rest; a damaged one counts as missing, and is written again.
"""

import os
import sys
import warnings
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from deepbp._version import __version__

if TYPE_CHECKING:
    from pathlib import Path

NOT_STORED: list[str] = []
"""Names of the kernels that this process compiled and could not store."""

FIX = "set NUMBA_CACHE_DIR to a folder that can be written, or DEEPBP_KERNELS=numpy to do without compiled kernels"

_DIGEST = 32  # bytes of a SHA-256


def digest_of_folder(file: str) -> str:
    """A digest of the version, and of the source of each module beside this one: code is compiled from several.

    To be called when the module is imported, so that the sources are read when Python reads them, too.
    """
    folder, digest = os.path.dirname(file), sha256(__version__.encode())
    names = os.listdir(folder) if os.path.isdir(folder) else []  # of a package in an archive nothing is known
    for name in sorted(name for name in names if name.endswith(".py")):
        with open(os.path.join(folder, name), "rb") as module:
            source = module.read()
        digest.update(f"/{name} {len(source)} ".encode() + source)
    return digest.hexdigest()


SOURCES = digest_of_folder(__file__)[:12]
"""A digest of the sources of all kernels."""


def folders() -> "list[Path]":
    """Return the folders that may hold machine code, in the order in which they are tried.

    NUMBA_CACHE_DIR, if it is set, is the only one; else that of Python's compiled modules, then the user's cache.
    """
    from pathlib import Path

    package = Path(__file__).parent
    own = f"deepbp_{sha256(os.fsencode(package)).hexdigest()[:16]}"  # each installation has a folder of its own
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return [Path(chosen).absolute() / own]
    if os.name == "nt":
        user = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        user = os.path.expanduser("~/Library/Caches")
    else:
        user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [package / "__pycache__", *([Path(user) / own] if os.path.isabs(user) else [])]


def is_writable(folder: "Path") -> bool:
    """Whether a file can be created in the folder, which is created if it does not exist."""
    from tempfile import TemporaryFile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def load(name: str, key: str) -> bytes | None:
    """Return what was stored under a name and a key; None if there is nothing, or nothing that can be trusted."""
    for folder in folders():
        try:
            path = folder / _file_name(name, key)
            if not _is_trusted(path):
                continue
            content = path.read_bytes()
        except OSError:
            continue
        if content and sha256(content[_DIGEST:]).digest() == content[:_DIGEST]:
            return content[_DIGEST:]
    return None


def store(name: str, key: str, content: bytes) -> None:
    """Write content to the first folder that takes it; without one, warn once in a process.

    Files of the same name from other sources are removed.
    """
    from tempfile import mkstemp

    target = _file_name(name, key)
    for folder in folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = mkstemp(".tmp", target, folder)
            try:
                with open(handle, "wb") as file:
                    file.write(sha256(content).digest() + content)
                os.chmod(temporary, 0o644)  # other users may read it
                with suppress(OSError):  # an empty folder of this name, which no file would replace
                    os.rmdir(folder / target)
                os.replace(temporary, folder / target)
            except OSError:
                os.unlink(temporary)
                raise
            for old in folder.glob(f"{name}-*.nbc"):
                if not old.name.startswith(f"{name}-{SOURCES}"):
                    old.unlink(missing_ok=True)
            return
        except OSError:
            continue
    NOT_STORED.append(name)
    if len(NOT_STORED) == 1:
        tried = ", ".join(map(str, folders()))
        warnings.warn(
            f"deepbp.kernels: every process compiles its kernels again, since no folder can be written: {tried}: {FIX}",
            RuntimeWarning,
            stacklevel=2,
        )


def stored() -> int:
    """Return the number of files, from the current sources, in all folders."""
    return sum(len(list(folder.glob(f"*-{SOURCES}-*.nbc"))) for folder in folders())


def _file_name(name: str, key: str) -> str:
    return f"{name}-{SOURCES}-{sha256(key.encode()).hexdigest()[:24]}.nbc"


def _is_trusted(path: "Path") -> bool:
    """Whether the file, which will be executed, belongs to this user, to root or to the owner of the package."""
    return os.name == "nt" or path.stat().st_uid in (0, os.geteuid(), os.stat(__file__).st_uid)
