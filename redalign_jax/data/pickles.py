"""Reads the numbers out of a pickle without running it.

A pickle is a program: it names functions and has them called while it is loaded. Here every name it
asks for is looked up in a short list of our own makers, which build numpy arrays of numbers or
strings and plain containers; any other name ends the reading. numpy's own way to restore an array
is not safe with made-up state (a type's flags can pass bytes off as objects), so types are rebuilt
from their code, such as "f4", and never from what else the pickle says about them.
"""

import math
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from redalign_jax.errors import UserError

_CODE = re.compile(r"\??|b1|[iu][1248]|f(2|4|8|16)|c(8|16|32)|[SU]\d{1,7}|O8?")
# Of an array of type object: ids come that way.
_ELEMENTS = (str, bytes, int, float, type(None), np.generic, np.ndarray, list, tuple)


def load(path: Path) -> Any:
    """What a pickle of arrays and containers holds; protocols 0 to 5, Python 2's as Latin-1.

    Args:
      path: the file.

    Returns:
      Dicts, lists, tuples, sets, strings, bytes, numbers, None and numpy arrays, nested in any way.
      An array holds numbers or strings, or as type object only `_ELEMENTS`.

    Raises:
      UserError: one line: unreadable, cut short, damaged, or asking for anything else (named).
    """
    try:
        with open(path, "rb") as file:
            return _Reader(file, encoding="latin1").load()
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except _Refused as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # whatever damage makes of the opcodes
        raise UserError(
            f"{path}: not a whole pickle, cut short or damaged ({_line(error)})"
        ) from None


class _Refused(Exception):
    """The pickle asks for something that is not rebuilt."""


# Python's own implementation in Python: a made-up index has the one in C reserve gigabytes.
class _Reader(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _MAKERS[module, name]
        except KeyError:
            asked = f"{module}.{name}"[:100].encode("unicode_escape").decode()
            raise _Refused(
                f"asks for {asked}; a pickle is a program, and only numpy arrays of numbers or "
                "strings and plain containers are rebuilt from it"
            ) from None


class _Maker:
    """A function the pickle may call, but not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Any) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise _Refused(f"sets the attribute {name!a} of a function")

    def __setstate__(self, state: Any) -> None:
        raise _Refused("sets the state of a function")


class _Type:
    """Stands for a numpy type while the pickle is read."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, *_: Any) -> None:
        if isinstance(code, bytes):
            code = code.decode("latin1")
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise _Refused(f"holds an array of type {str(code)[:40]!a}, not of numbers or strings")
        self.code, self.order = code, "|"

    def __setstate__(self, state: Any) -> None:
        """(version, byte order, subarray, names, fields, ...); the rest follows from the code."""
        order, *structure = state[1:5]
        if any(part is not None for part in structure):
            raise _Refused("holds an array of a structured type, not of numbers or strings")
        order = order.decode("latin1") if isinstance(order, bytes) else order
        if order not in ("<", ">", "=", "|"):
            raise _Refused(f"holds an array of byte order {str(order)[:10]!a}")
        self.order = order

    def numpy(self) -> np.dtype:
        return np.dtype(self.code).newbyteorder(self.order)


class _Array(np.ndarray):
    """An array that takes its content from the pickle only after a look at it."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """(version,) shape, type, whether Fortran order, content."""
        shape, dtype, fortran, content = state[-4:]
        if not isinstance(dtype, _Type):
            raise _Refused("holds an array without a type")
        dtype = dtype.numpy()
        if isinstance(content, str):  # bytes, to Python 2
            content = content.encode("latin1")
        _check(shape, dtype, content)
        super().__setstate__((1, shape, dtype, bool(fortran), content))


def _check(shape: Any, dtype: np.dtype, content: Any) -> None:
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array whose shape is none")
    if dtype.kind == "O":
        if type(content) is not list:
            raise ValueError("an array of objects without any")
        odd = next((v for v in content if not isinstance(v, _ELEMENTS)), None)
        if odd is not None:
            raise _Refused(f"holds an array of objects of type {type(odd).__name__}")
        size = len(content)
    else:
        if not isinstance(content, (bytes, bytearray)):
            raise ValueError("an array without content")
        size = len(content) // max(dtype.itemsize, 1)
        if dtype.itemsize and len(content) % dtype.itemsize:
            raise ValueError("an array whose content does not fit its type")
        points = np.frombuffer(content, dtype.str[0] + "u4") if dtype.kind == "U" else ()
        if len(points) and points.max() > 0x10FFFF:
            raise ValueError("an array of strings that are none")
    if math.prod(shape) != size:
        raise ValueError(f"an array of shape {shape} with {size} elements")


def _empty(kind: Any, *_: Any) -> _Array:
    if kind is not _NDARRAY:
        raise _Refused("holds an array of a class of its own")
    return _Array((0,), np.int8)


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> np.ndarray:
    """Protocol 5."""
    if not isinstance(dtype, _Type):
        raise _Refused("holds an array without a type")
    content = bytes(content) if isinstance(content, memoryview) else content
    dtype = dtype.numpy()
    if dtype.kind == "O":
        raise _Refused("holds an array of objects as bytes")
    _check(shape, dtype, content)
    flat = np.frombuffer(content, dtype)
    if axes is not None:
        return flat.reshape(shape).transpose(axes)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, content: Any = b"") -> Any:
    if not isinstance(dtype, _Type) or dtype.numpy().kind == "O":
        raise _Refused("holds a single object")
    content = content.encode("latin1") if isinstance(content, str) else content
    _check((1,), dtype.numpy(), content)
    return np.frombuffer(content, dtype.numpy())[0]


def _encode(text: str, encoding: str) -> bytes:
    """How protocols 0 to 2 write bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"asks for text as {str(encoding)[:40]!a}")
    return text.encode("latin1")


def _bytearray(content: Any = "", encoding: str = "latin1") -> bytearray:
    return bytearray(content if isinstance(content, bytes) else _encode(content, encoding))


_NDARRAY = _Maker(lambda *_: _empty(None))
_MAKERS = {("numpy", "ndarray"): _NDARRAY, ("numpy", "dtype"): _Maker(_Type)}
for _core in ("numpy.core", "numpy._core"):  # before numpy 2, and since
    _MAKERS[f"{_core}.multiarray", "_reconstruct"] = _Maker(_empty)
    _MAKERS[f"{_core}.multiarray", "scalar"] = _Maker(_scalar)
    _MAKERS[f"{_core}.numeric", "_frombuffer"] = _Maker(_from_buffer)
for _builtins in ("builtins", "__builtin__"):  # Python 3, and 2
    _MAKERS[_builtins, "set"] = _Maker(set)
    _MAKERS[_builtins, "frozenset"] = _Maker(frozenset)
    _MAKERS[_builtins, "complex"] = _Maker(complex)
    _MAKERS[_builtins, "bytes"] = _Maker(lambda: b"")
    _MAKERS[_builtins, "bytearray"] = _Maker(_bytearray)
_MAKERS["_codecs", "encode"] = _Maker(_encode)
_MAKERS["collections", "OrderedDict"] = _Maker(OrderedDict)


def _line(error: Exception) -> str:
    return ascii(str(error).strip().split("\n")[0])[1:-1][:200] or type(error).__name__
