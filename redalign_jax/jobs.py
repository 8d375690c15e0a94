"""What the command line can do: one function per `--job`.

Each imports what it alone needs: statistics and figures take a second, in which a sweep has begun.
"""

from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from redalign_jax import api
from redalign_jax.api.answers import ADVICE
from redalign_jax.errors import UserError
from redalign_jax.runtime import processes, workdir


def _needs(config: ConfigDict | None) -> ConfigDict:
    if config is None:
        raise UserError("config: --config=FILE is needed for this job")
    return config


def run_sweep(config: ConfigDict | None, folder: Path) -> None:
    """Trains the grid, or what was advised, then draws the report."""
    api.sweep(_needs(config), workdir=folder)
    if processes.first():
        run_report(config, folder)
        if (folder / workdir.MODELS).is_dir():
            print(f"models: {folder / workdir.MODELS}")


def run_decompose(config: ConfigDict | None, folder: Path) -> None:
    """Estimates what the modalities tell about the labels, then draws the report."""
    from redalign_jax.pid import decomposition

    table = api.decompose(_needs(config), workdir=folder)
    print(decomposition.short_table(table))
    run_report(config, folder)


def run_advise(config: ConfigDict | None, folder: Path) -> None:
    """Tries alignment on the labelled training examples and says what to do."""
    advice = api.advise(_needs(config), workdir=folder)
    page = advice.report()
    print(f"{advice}\nadvice: {folder / ADVICE}\npage: {page}")


def run_inspect(config: ConfigDict | None, folder: Path | None) -> None:
    """Says in 12 lines what the data are, without training; needs no workdir."""
    del folder
    print(api.inspect(_needs(config)))


def run_fit(config: ConfigDict | None, folder: Path) -> None:
    """Trains one setting, or what was advised, and keeps the best encoders in WORKDIR/model."""
    from redalign_jax.fitted import train

    model = api.fit(_needs(config), seeds=None, workdir=folder)
    print(f"{train.summary(model)}\nmodel: {folder / train.MODEL}")


def run_report(config: ConfigDict | None, folder: Path) -> None:
    """Draws the report of what the workdir holds, without training; prints the short table."""
    from redalign_jax import report
    from redalign_jax.analysis import conclusions
    from redalign_jax.report import control

    summary = report.make(folder)
    print(report.told.text(summary))
    if "best" in summary:  # a sweep
        print(conclusions.short_table(summary))
        beside = control.lines(summary["shuffled"], 100 if summary["metric"] == "accuracy" else 1)
        print(beside, end="\n" * bool(beside))
    print(f"report: {folder / 'report.html'}")


WITHOUT_WORKDIR = ("inspect",)
JOBS: dict[str, Callable[[ConfigDict | None, Path], None]] = {
    "sweep": run_sweep,
    "decompose": run_decompose,
    "advise": run_advise,
    "fit": run_fit,
    "report": run_report,
    "inspect": run_inspect,
}
