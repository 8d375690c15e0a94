"""What a sweep found and what was advised, with the folder where it lies."""

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from redalign_jax.data import look
from redalign_jax.errors import UserError
from redalign_jax.runtime import results, workdir

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ADVICE = "advice.json"


class Home:
    """A workdir: the user's, or a temporary one that goes with the last who knows it."""

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="redalign-") if folder is None else folder)
        if folder is None:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def copied(self, folder: str | Path | None, files: Sequence[str]) -> Path:
        """The folder a report goes to, with the files that it is drawn from; None is the workdir.

        Raises:
          UserError: it holds something else.
        """
        to = self.folder if folder is None else Path(folder)
        if to.resolve() == self.folder.resolve():
            return to
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            held, own = (workdir.read_config(f) for f in (to, self.folder))
            if any(held.get(part) != own.get(part) for part in ("config", "data")):
                raise UserError(f"workdir: {to} holds another experiment; name another folder")
        for name in ("config.json", look.FILE, *files):
            for path in self.folder.glob(name):
                workdir.write(to / path.name, lambda p, path=path: shutil.copyfile(path, p))
        return to


class Results:
    """What a sweep found.

    Attributes:
      table: tidy, a row per run × subject × metric: task axes, `seed`, hyperparameters, `subject`,
        `metric`, `value`, `diverged`.
      folder: the workdir.
    """

    def __init__(self, table: pd.DataFrame, home: Home) -> None:
        self.table, self.folder, self._home = table, home.folder, home

    def __repr__(self) -> str:
        return f"Results of {self.table['seed'].nunique()} seeds in {self.folder}"

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Learning curves, tidy: as `table`, with `step`."""
        return results.read(self.folder, results.CURVES)

    def best(self) -> pd.DataFrame:
        """Per task and encoder the best strength, its gain held out, and a verdict.

        See `analysis.strengths.best`; changes are in the units of the metric, accuracy in 0..1.
        """
        from redalign_jax.analysis import strengths

        return strengths.best(self._grid(self.table))

    def plot(self, kind: str = "change", ax: "Axes | None" = None) -> "Figure | Axes":
        """A figure of the report.

        Args:
          kind: "change" in quality against λ, "similarity" of embeddings against λ,
            "best_strength" with what it gains, "learning" curves; with a numeric task axis also
            "encoders" along it.
          ax: axes to draw on, for a figure of one panel; None makes a figure.

        Returns:
          The figure, or `ax`.

        Raises:
          UserError: no such figure, or one of several panels for one `ax`.
        """
        import matplotlib

        from redalign_jax.report import charts, facets, findings, render, small_multiples, style

        table = self._grid(self.table)
        plan = facets.layout(table)
        found, about = findings.find(table, plan), workdir.read_config(self.folder)
        drawn = charts.all_of(table, self._grid(self.curves), about["config"], plan, found)
        drawn = {chart.name: chart for chart in drawn}
        if kind not in drawn:
            raise UserError(
                f"plot: {kind!r} is not one of {', '.join(drawn) or 'none, no run ended'}"
            )
        draw = drawn[kind].draw
        with matplotlib.rc_context(style.STYLE):
            if ax is None:
                return render.laid_out(draw(render.WIDE))
            panels = draw.args[0] if draw.func is small_multiples.draw else ()
            if len(panels) != 1:
                raise UserError(f"plot: {kind!r} has several panels here; leave ax out")
            small_multiples.draw_on(ax, panels[0], draw.args[1])
        return ax

    def report(self, folder: str | Path | None = None) -> Path:
        """Draws the whole report, and returns the path of its page.

        Args:
          folder: for it and the tables behind it; None is the workdir.

        Raises:
          UserError: the folder holds something else.
        """
        from redalign_jax.report import make

        to = self._home.copied(folder, ("results.*", "curves.*", "decomposition.*"))
        make(to)
        return to / "report.html"

    def _grid(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of the grid, those of the balanced mechanism beside it left out."""
        from redalign_jax.analysis import balanced

        return balanced.split(table)[0]


class Advice:
    """What to do with every encoder; `print` says all that is needed to follow it.

    Attributes:
      found: the content of `advice.json`, see `advise.advise`.
      folder: the workdir.
    """

    def __init__(self, found: dict[str, Any], home: Home) -> None:
        self.found, self.folder, self._home = found, home.folder, home

    @property
    def verdicts(self) -> dict[str, str]:
        """Per encoder the verdict, see `api.advise`."""
        return {name: row["verdict"] for name, row in self.found["encoders"].items()}

    @property
    def strength(self) -> dict[str, float]:
        """Per encoder the advised λ."""
        return {name: row["strength"] for name, row in self.found["encoders"].items()}

    def __repr__(self) -> str:
        from redalign_jax.advise import explain

        return explain.text(self.found)

    def report(self, folder: str | Path | None = None) -> Path:
        """Writes the page of advice, and returns its path.

        Args:
          folder: for it and `advice.json`; None is the workdir.

        Raises:
          UserError: the folder holds something else.
        """
        from redalign_jax.report import advice

        folder = self._home.copied(folder, (ADVICE,))
        return advice.make(folder, workdir.read_config(folder), self.found)
