"""What the data of an experiment are, by content: a digest of every array that sources read.

A file that was moved, copied or compressed is the same; one that was overwritten is not. Sources
say what they read by `note_file`, or by `know` and `note`, and need not care who listens.
"""

import contextlib
import functools
import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from redalign_jax.data.rows import Rows
from redalign_jax.errors import UserError
from redalign_jax.task import Task

Digests = dict[str, str]
PIECE = 1 << 24  # bytes of a file in memory at a time
GENERATED = "generated"
UNREADABLE = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)

_listening: list[dict[tuple, None]] = []  # the recordings under way, of what was noted
_known: dict[tuple, Digests] = {}  # what was noted → its arrays


@contextlib.contextmanager
def recorded() -> Iterator[Digests]:
    """Inside, what sources read is noted; the digests, by array, are there when it is left.

    Where nothing was read, because a source makes its tasks itself, they are those of the tasks.
    """
    noted: dict[tuple, None] = {}
    found: Digests = {}
    _listening.append(noted)
    try:
        yield found
    finally:
        _listening.remove(noted)
        read = [what for what in noted if what[0] != GENERATED]
        for what in read or noted:
            found |= _known.get(what, {})


def know(what: tuple, digests: Digests) -> None:
    """Keeps what was read under a name; `note` says that it is used, again and again."""
    _known[what] = _known.get(what, {}) | digests


def note(what: tuple) -> None:
    """Says that the data known by this name are used."""
    for noted in _listening:
        noted[what] = None


def note_file(path: str) -> None:
    """Says that an .npz file is used: all of its arrays, those a source ignores too."""
    about = os.stat(path)
    what = (os.path.realpath(path), about.st_size, about.st_mtime_ns)
    if _listening and what not in _known:
        with zipfile.ZipFile(path) as file:
            know(what, {m.filename.removesuffix(".npy"): _member(file, m) for m in file.infolist()})
    note(what)


def digest(array: np.ndarray) -> str:
    """Of type, shape and values; not of how they lie in memory."""
    array = np.asarray(array)
    found = _start(array.dtype, array.shape)
    if array.dtype.hasobject:  # texts, as datasets give them
        for value in array.ravel():
            content = value if isinstance(value, bytes) else str(value).encode()
            found.update(b"%d:%b" % (len(content), content))
    elif array.nbytes:
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return found.hexdigest()


def of_task(task: Task) -> str:
    """Of everything that is trained on and judged by; the order of the modalities is nothing."""
    found, seen = _hash(f"{task.classes} "), {}

    def content(x: np.ndarray | Rows) -> str:
        if not isinstance(x, Rows):
            return digest(x)
        if id(x.values) not in seen:  # all splits share them
            seen[id(x.values)] = digest(x.values)
        rest = [x.index, *(() if x.mean is None else (x.mean, x.inverse))]
        return " ".join([seen[id(x.values)], *map(digest, rest)])

    for part in (task.train, task.valid, task.test):
        arrays = dict(zip(task.modalities, part.x, strict=True))
        for name in sorted(arrays):
            found.update(f"{name} {content(arrays[name])} ".encode())
        found.update(digest(part.y).encode())
        if part.present is not None:
            for name, own in sorted(zip(task.modalities, part.present, strict=True)):
                found.update(f"{name} {digest(own)} ".encode())
    return found.hexdigest()


def check_new(seen: dict[str, dict[str, Any]], columns: dict[str, Any], task: Task) -> None:
    """Refuses a task axis on which the same task stands twice, in whatever spelling.

    Args:
      seen: the points so far, {digest of the task: values on the task axes}; this one is added.
      columns: the values on the task axes.
      task: the task there, at the first seed.

    Raises:
      UserError: one line that names both points.
    """
    content = of_task(task)
    same = seen.setdefault(content, columns)
    names = [name for name in columns if columns[name] != same[name]]
    if names:
        first, second = (
            ", ".join(f"{name}={point[name]!r}" for name in names) for point in (same, columns)
        )
        raise UserError(f"data.{names[0]}: {first} and {second} are the same task; keep one")
    point = ", ".join(f"{name}={value}" for name, value in columns.items())
    called = (
        f"task {point}".strip()
    )  # part of what is known: another experiment may call it otherwise
    know((GENERATED, called, content), {called: content})
    note((GENERATED, called, content))


def _hash(text: str) -> Any:
    return hashlib.sha256(text.encode())


def _start(dtype: np.dtype, shape: tuple[int, ...]) -> Any:
    return _hash(f"{dtype.str} {shape} ")


def _member(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    """The digest of one array of an .npz file, in bounded memory; of the bytes of another file."""
    try:
        return _content(file, member)
    except UNREADABLE:  # its reader says so, if it has one
        return "unreadable"


def _content(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    with file.open(member) as stream:
        try:
            major, _ = np.lib.format.read_magic(stream)
            header = {
                1: np.lib.format.read_array_header_1_0,
                2: np.lib.format.read_array_header_2_0,
            }[major]
            shape, fortran, dtype = header(stream)
        except (ValueError, KeyError):
            stream.seek(0)
            return _of_bytes(_hash(""), stream)
        if fortran and len(shape) > 1 and not dtype.hasobject:
            values = np.frombuffer(stream.read(), dtype).reshape(shape[::-1]).T
            return digest(values)
        return _of_bytes(_start(dtype, shape), stream)


def _of_bytes(found: Any, stream: Any) -> str:
    for piece in iter(functools.partial(stream.read, PIECE), b""):
        found.update(piece)
    return found.hexdigest()
