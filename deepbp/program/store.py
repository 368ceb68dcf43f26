"""Machine code of instructions, from disk where it is stored: then only ``llvmlite`` is imported, not Numba."""

import ctypes
import os
import threading
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from deepbp.kernels.machine_code import digest_of_folder, load, store
from deepbp.program.layout import LIBRARY, NUMBA, PYTHON, NotLoweredError

_SOURCES = digest_of_folder(__file__)
_lock = threading.RLock()
_addresses: dict[tuple[str, str], int] = {}
_refused: dict[tuple[str, str], str] = {}  # why an instruction cannot be compiled
_held: list[Any] = []  # what the code needs for as long as it may run


def kernel_address(name: str, dtype: "np.dtype[Any]") -> int:
    """The address of an instruction for arrays of this dtype; compiles it where the machine has no code of it yet.

    Raises NotLoweredError where it cannot be compiled; that is stored, too, so that nobody waits for it twice.
    """
    key = name, dtype.char  # its name takes longer to make than all of this
    if (address := _addresses.get(key)) is not None:
        return address
    with _lock:
        if key not in _addresses:
            if (reason := _refused.get(key)) is not None:
                raise NotLoweredError(reason)
            try:
                _addresses[key] = _link(*_code_of(name, dtype))
            except Exception as error:  # whatever another version of llvmlite or Numba raises
                _refused[key] = str(error) or type(error).__name__
                raise NotLoweredError(_refused[key]) from error
        return _addresses[key]


def _code_of(name: str, dtype: "np.dtype[Any]") -> tuple[str, bytes]:
    """The name and the object code of an instruction. Raises NotLoweredError where it is stored that there is none."""
    key = f"{dtype.name} {_key()}"
    content = load(f"instruction_{name}", key)
    if content is None:
        from deepbp.program.instructions import compile_instruction

        try:
            symbol, code = compile_instruction(name, dtype)
        except NotLoweredError as error:
            symbol, code = "", str(error).encode()
        content = symbol.encode() + b"\0" + code
        store(f"instruction_{name}", key, content)
    name_in_code, _, code = content.partition(b"\0")
    if not name_in_code:
        raise NotLoweredError(code.decode())
    return name_in_code.decode(), code


@cache
def _key() -> str:
    """Everything that determines the code of an instruction, but for its name and the dtype."""
    from pathlib import Path

    import llvmlite
    import llvmlite.binding as llvm

    spec = find_spec("numba")
    try:  # at a tenth of the cost of the package's metadata
        numba = Path(spec.origin).with_name("_version.py").read_text()  # type: ignore[union-attr, arg-type]
    except (AttributeError, OSError, TypeError):
        from importlib.metadata import version

        numba = version("numba")
    features = llvm.get_host_cpu_features().flatten()
    triple, processor = llvm.get_process_triple(), llvm.get_host_cpu_name()
    return str((_SOURCES, triple, processor, features, llvmlite.__version__, numba))


def _define_symbols() -> None:
    import llvmlite.binding as llvm

    library = ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)
    nothing = ctypes.CFUNCTYPE(None)(lambda: None)
    _held.append(nothing)
    for name in (*LIBRARY, *PYTHON, *NUMBA):
        if llvm.address_of_symbol(name) is not None:
            continue
        if name in NUMBA:  # Numba defines them when it is imported
            address = ctypes.cast(nothing, ctypes.c_void_p).value
        else:
            address = ctypes.addressof(ctypes.c_char.in_dll(library if name in LIBRARY else ctypes.pythonapi, name))
        llvm.add_symbol(name, address)


def _link(symbol: str, code: bytes) -> int:
    """Load object code, and return the address of a function in it."""
    import llvmlite.binding as llvm

    if not _held:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        _define_symbols()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    empty = llvm.parse_assembly("")
    engine = llvm.create_mcjit_compiler(empty, machine)
    engine.remove_module(empty)  # LLVM would compile it, which takes longer than all of the rest
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _held.append(engine)
    return int(engine.get_function_address(symbol))
