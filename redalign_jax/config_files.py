"""The experiments that come with the package: `configs/` of a checkout, or of the wheel."""

import importlib.util
import re
import traceback
from pathlib import Path

from ml_collections import ConfigDict

from redalign_jax import renamed
from redalign_jax.errors import UserError
from redalign_jax.fields import shown

PACKAGE = Path(__file__).parent
# the wheel carries the folder as `redalign_jax.configs`, see setup.py
FOLDER = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"


def paths() -> list[Path]:
    """All of them, by name."""
    return [p for p in sorted(FOLDER.glob("*.py")) if p.stem != "__init__"]


def path(name: str) -> str:
    """The file that `--config=NAME` or `--config=NAME:arg` means, with its `:arg`.

    What has a slash or ends in `.py` is a path already, and so is a file of that name.

    Raises:
      UserError: no experiment is called so.
    """
    stem, colon, argument = name.partition(":")
    if not stem or "/" in stem or stem.endswith(".py") or Path(stem).is_file():
        return name
    found = {p.stem: p for p in paths()}
    if stem not in found:
        raise UserError(f"config: no experiment is called {stem!r}; there are {', '.join(found)}")
    return f"{found[stem]}{colon}{argument}"


def load(name: str) -> ConfigDict:
    """The experiment `get_config()` of a file, by its name or path, with `:arg` as its argument.

    Raises:
      UserError: there is none, it cannot be loaded, or it raises one itself.
    """
    file, colon, argument = path(name).partition(":")
    try:
        spec = importlib.util.spec_from_file_location("experiment", file)
        if spec is None:
            raise ImportError("it is no Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if not hasattr(module, "get_config"):
            raise ImportError("it has no get_config()")
        found = module.get_config(*([argument] if colon else []))
    except UserError:
        raise
    except Exception as error:  # a file of the user's can raise anything
        raise UserError(f"config: {name} cannot be loaded: {_reason(error, file)}") from None
    if not isinstance(found, ConfigDict):
        raise UserError(
            f"config: {name}: get_config() gives {shown(found)}, which is no experiment"
        )
    return found


def _reason(error: Exception, file: str) -> str:
    """What went wrong in a file and in which of its lines, on one line."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    unknown, meant = (
        re.search(p, text) for p in (r'Key "(\w+)" does not', r'Did you mean "(\w+)"')
    )
    if unknown:
        old = [f for f in renamed.FIELDS if f.partition(".")[2] == unknown[1]]
        hint = f"; did you mean {meant[1]}?" if meant else ""
        text = f"there is no field {unknown[1]!r}" + (renamed.hint(old[0]) if old else hint)
    text = (text.splitlines() or [""])[0] or type(error).__name__
    lines = [n for f, n in traceback.walk_tb(error.__traceback__) if f.f_code.co_filename == file]
    return f"{text} (line {lines[-1]})" if lines else text
