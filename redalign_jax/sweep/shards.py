"""Finished blocks of a sweep as files, so that nothing that was trained is trained again.

`blocks/<number>.results.parquet` and `.curves.parquet` hold the rows of one block, `plan.json` how
the grid is cut. A block is finished once both of its files are there; the workdir's tables are made
of them when the last one is, or for a report in between.
"""

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from redalign_jax.errors import UserError
from redalign_jax.runtime import results, workdir

FOLDER = workdir.BLOCKS
TABLES = (results.CURVES, results.RESULTS)  # in the order they are written
SUFFIXES = ("parquet", "csv")
Tables = dict[str, pd.DataFrame]


def plan(folder: Path) -> dict[str, Any] | None:
    """How the grid is cut, see `replan`; None before it is.

    Raises:
      UserError: it cannot be read.
    """
    path = folder / FOLDER / "plan.json"
    try:
        held = json.loads(path.read_text())
        return {name: held[name] for name in ("runs", "settings", "shapes", "layout", "chunk")}
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"workdir: {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"workdir: {path} is damaged; delete it, and the same command goes on with all that is "
            "finished"
        ) from None


def replan(folder: Path, plan: dict[str, Any]) -> None:
    """Writes down how the grid is cut.

    Args:
      folder: the workdir.
      plan: `runs` and `settings` of the grid, `shapes` of blocks by group, `layout` of the devices
        and `sweep.runs_per_device` by which they were chosen.
    """
    workdir.write_json(folder / FOLDER / "plan.json", plan)


def forget_plan(folder: Path) -> None:
    """Takes back how the grid is cut."""
    (folder / FOLDER / "plan.json").unlink(missing_ok=True)


def any_of(folder: Path) -> bool:
    """Whether the workdir has results, or at least a block of them."""
    return results.there(folder) or bool(_numbers(folder))


def complete(folder: Path) -> bool:
    """Whether the workdir's tables are there; those that can be are mended from their csv.

    Raises:
      UserError: one is damaged and cannot be.
    """
    if not results.there(folder):
        return False
    try:
        results.load(folder / f"{results.RESULTS}.parquet")
    except (FileNotFoundError, results.Damaged) as error:
        if _numbers(folder):  # it is made again from them
            logging.warning("%s is damaged and made again: %s", folder, error)
            return False
    for name in TABLES:
        if name == results.RESULTS or any((folder / f"{name}.{e}").exists() for e in SUFFIXES):
            results.mend(folder, name)
        else:
            logging.warning("%s holds no %s; results are whole without", folder, name)
    return True


def add(folder: Path, table: pd.DataFrame, curves: pd.DataFrame) -> None:
    """Keeps the rows of one more block.

    Raises:
      UserError: they cannot be written.
    """
    number = max(_numbers(folder), default=-1) + 1
    for name, rows in zip(TABLES, (curves, table), strict=True):
        results.write_parquet(rows, _path(folder, number, name))


def places(folder: Path) -> list[int]:
    """Places in the grid of all finished runs; a block that is damaged is taken away.

    Raises:
      UserError: one cannot be read now, which is no reason to.
    """
    found: set[int] = set()
    for number, tables in _blocks(folder).items():
        if tables is None:
            _path(folder, number, results.RESULTS).unlink()
        else:
            found |= set(tables[results.RESULTS]["place"].tolist())
    return sorted(found)


def merge(folder: Path) -> None:
    """Makes the workdir's tables of the finished blocks.

    Raises:
      UserError: one of them has become unreadable, or the tables cannot be written.
    """
    whole = list(_blocks(folder).values())
    if any(tables is None for tables in whole):
        raise UserError(f"workdir: {folder / FOLDER} has changed; the same command mends it")
    for name in TABLES:
        results.save(_in_order([tables[name] for tables in whole]), folder, name)


def read(folder: Path, name: str = results.RESULTS) -> tuple[pd.DataFrame, dict[str, int] | None]:
    """The table `name` of a workdir whose sweep may still be under way.

    Returns:
      The rows, and None; while runs are missing, the rows of every task whose runs are all there,
      and how far the sweep is: `{"runs": finished, "of": all}`.

    Raises:
      UserError: nothing can be read, or no task is finished.
    """
    if results.there(folder) or not _numbers(folder):
        return results.read(folder, name), None
    cut = plan(folder)
    if cut is None:
        raise UserError(
            f"workdir: {folder / FOLDER} holds no plan.json; --job=sweep makes it again"
        )
    tables = [t for t in _blocks(folder).values() if t is not None]
    rows = [t[name] for t in tables]
    runs = pd.Series(sorted({place for t in rows for place in t["place"]}), dtype=int)
    task = runs // cut["settings"]
    whole = set(runs[task.map(task.value_counts()) == cut["settings"]])
    if not whole:
        raise UserError(f"workdir: {folder}: no task of its sweep is finished yet")
    return _in_order([t[t["place"].isin(whole)] for t in rows]), {
        "runs": len(runs),
        "of": cut["runs"],
    }


def _path(folder: Path, number: int, name: str) -> Path:
    return folder / FOLDER / f"{number:06d}.{name}.parquet"


def _numbers(folder: Path) -> list[int]:
    found = (folder / FOLDER).glob(f"[0-9]*.{results.RESULTS}.parquet")
    return sorted(int(path.name.split(".")[0]) for path in found)


def _blocks(folder: Path) -> dict[int, Tables | None]:
    """The tables of every block, by number; None for one that is damaged.

    Raises:
      UserError: one cannot be read now.
    """
    found: dict[int, Tables | None] = {}
    for number in _numbers(folder):
        try:
            found[number] = {n: results.load(_path(folder, number, n)) for n in TABLES}
        except (FileNotFoundError, results.Damaged) as error:
            path, reason = _path(folder, number, "*"), str(error).splitlines()[0]
            logging.warning("%s is damaged, its runs are not counted: %s", path, reason)
            found[number] = None
    return found


def _in_order(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """All rows in the grid's order, every run once, `value` and `diverged` last."""
    seen: set[int] = set()
    once = []
    for table in tables:
        once.append(table[~table["place"].isin(seen)])
        seen |= set(table["place"])
    table = pd.concat(once, ignore_index=True)
    table = table.sort_values("place", kind="stable", ignore_index=True)
    last = ["value", "diverged"]
    return table[[c for c in table.columns if c not in ("place", *last)] + last]
