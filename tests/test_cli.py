"""Whole commands, as a user types them."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from helpers.commands import ROOT, command, python, refused

pytestmark = pytest.mark.slow

SMALL = [
    "--config.train.steps=20",
    "--config.train.evaluations=2",
    "--config.train.batch=32",
    "--config.sweep.seeds=2",
    "--config.encoder.hidden_sizes=(8,)",
    "--config.measure.examples=30",
    "--config.measure.neighbours=4",
    "--config.hyper.strength=0,1",
]
PLAIN = [*SMALL, "--config.sweep.balanced=False"]  # one program less to compile


def test_own_arrays_from_the_shell(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.choice(["cat", "dog", "owl"], 200)
    core = (y[:, None] == np.unique(y)) * 2.0
    vision = np.concatenate([core + rng.standard_normal((200, 3)), np.full((200, 1), 5)], axis=1)
    text = (core @ rng.standard_normal((3, 5)) + rng.standard_normal((200, 5))).reshape(200, 5, 1)
    np.savez(tmp_path / "mine.npz", vision=vision, text=text, labels=y)
    out = tmp_path / "out"
    done = python(
        "-m",
        "redalign_jax",
        "--job=sweep",
        "--config=configs/arrays.py",
        f"--config.data.path={tmp_path / 'mine.npz'}",
        "--config.data.labels=60",
        f"--workdir={out}",
        *SMALL,
    )
    assert done.returncode == 0, done.stderr
    assert str(out / "report.html") in done.stdout
    table = pd.read_parquet(out / "results.parquet")
    assert {"vision", "text", "vision|text", "fusion"} == set(table["subject"])
    trained = table[(table["metric"] == "accuracy") & (table["subject"] == "vision")]
    assert (trained["value"] > 0.4).all()
    names = {p.name for p in out.iterdir()}
    assert {
        "config.json",
        "results.parquet",
        "results.csv",
        "summary.json",
        "figures",
        "report.html",
    } <= names
    assert json.loads((out / "summary.json").read_text())["runs"] == 4
    page = (out / "report.html").read_text()
    (out / "report.html").unlink()
    again = command("--job=report", f"--workdir={out}")
    assert again.returncode == 0, again.stderr
    assert (out / "report.html").read_text() == page


def test_refusals_are_one_line_and_leave_nothing(tmp_path):
    out = tmp_path / "out"
    config = ["--config=configs/redundancy.py", f"--workdir={out}"]
    for arguments, message in (
        ([*config, "--config.train.stepz=3"], "unknown config field: config.train.stepz"),
        ([*config, "--config.hyper.strength=0,-1"], "hyper.strength: -1"),
        ([*config, "--config.hyper.strength=1,2"], "hyper.strength: 0 is missing"),
        ([*config, "--config.train.steps=many"], "config.train.steps"),
        (["--config=nowhere.py", f"--workdir={out}"], "nowhere.py"),
        (["--config=configs/redundancy.py"], "--workdir=DIR is needed"),
        ([f"--workdir={out}"], "--config=FILE is needed"),
        ([*config, "--job=dance"], "job"),
        (["--job=report", f"--workdir={tmp_path}"], "holds no"),
        ([*config, "--processes=2"], "--coordinator, --processes and --process go together"),
        ([*config, "--job=decompose", "--distributed"], "--job=decompose runs in one process"),
        ([*config, "--distributed"], "cannot be joined"),
    ):
        refused(command(*arguments), message)
    assert not out.exists()


def test_a_stopped_sweep_says_how_to_go_on(tmp_path):
    out = tmp_path / "with space"
    arguments = [
        "--job=sweep",
        "--config=configs/redundancy.py",
        f"--workdir={out}",
        *PLAIN,
        "--config.data.redundancy=0,8",
        "--config.sweep.seeds=6",
        "--config.train.steps=400",  # several blocks are left when the first is there
        "--config.sweep.runs_per_device=1",
        "--config.log.tensorboard=true",
        "--config.log.profile=(1,)",
    ]
    stopped = subprocess.Popen(
        [sys.executable, "-m", "redalign_jax", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(out.glob("blocks/*.results.parquet")):
        assert stopped.poll() is None
        time.sleep(0.02)
    stopped.terminate()
    said = stopped.communicate(timeout=120)[1].splitlines()
    assert stopped.returncode == 75
    line = next(line for line in said if "to go on" in line)
    again = shlex.split(line.split("to go on: ")[1])
    assert again == ["python", "-m", "redalign_jax", *arguments]
    assert list(out.glob("profile/segment_1/**/*.xplane.pb"))
    done = command(*again[3:])
    assert done.returncode == 0, done.stderr
    assert (out / "report.html").exists()
    assert len(list(out.glob("tensorboard/*/*tfevents*"))) == 2 * 6 * 2  # R × seeds × strengths


def test_an_npz_that_needs_pickle_is_refused(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(
        path, a=np.array([{"code": 1}, None] * 10, object), b=np.ones((20, 2)), labels=[0, 1] * 10
    )
    job = ("--config=configs/arrays.py", f"--config.data.path={path}")
    refused(command(*job, f"--workdir={tmp_path / 'out'}"), "evil.npz")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [p.name for p in sorted((ROOT / "configs").glob("*.py"))])
def test_every_config_says_how_to_run_it_and_is_possible(name):
    from importlib.util import module_from_spec, spec_from_file_location

    from redalign_jax import config

    spec = spec_from_file_location("experiment", ROOT / "configs" / name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert f"--config=configs/{name}" in module.__doc__
    config.check(module.get_config())


def experiment_in(tmp_path, *more):
    """Arguments of a sweep of a few seconds."""
    out = [f"--workdir={tmp_path / 'out'}", "--config.data.redundancy=8"]
    return ["--config=configs/redundancy.py", *out, *PLAIN, "--config.sweep.seeds=1", *more]


def piped(script, *arguments, **environment):
    """A command as $RUN in a line of bash, which ends with the command's status."""
    run = shlex.join([sys.executable, "-m", "redalign_jax", *map(str, arguments)])
    return subprocess.run(
        ["bash", "-c", f"{script}; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT,
        env=os.environ | {"RUN": run} | environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
    )


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Results to report on, made where no user has a home and no locale has letters."""
    folder = tmp_path_factory.mktemp("für µ")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    last = f"--config.sweep.first_seed={2**32 - 1}"
    done = piped("unset HOME; eval $RUN", *experiment_in(folder, last), **plain)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "report: " in done.stdout
    table = pd.read_parquet(folder / "out" / "results.parquet")
    assert set(table["seed"]) == {2**32 - 1}
    return folder / "out"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("eval $RUN > /dev/full", "standard output cannot be written: No space left"),
        ("eval $RUN | true", ""),
        ("eval $RUN >&-", ""),
        ("eval $RUN 2>/dev/full", ""),
    ],
)
def test_output_that_goes_nowhere_ends_no_job(workdir, script, said):
    (workdir / "report.html").unlink(missing_ok=True)
    done = piped(script, "--job=report", f"--workdir={workdir}")
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == bool(said) and said in done.stderr
    assert (workdir / "report.html").exists()


def test_an_error_stream_that_closes_ends_no_training(tmp_path):
    done = piped("eval $RUN 2>&1 >/dev/null | true", *experiment_in(tmp_path))
    assert done.returncode == 0
    assert (tmp_path / "out" / "report.html").exists()


def test_ctrl_c_saves_says_one_line_and_goes_on(tmp_path):
    out = tmp_path / "out"
    arguments = experiment_in(
        tmp_path,
        "--config.sweep.seeds=8",
        "--config.train.steps=400",
        "--config.sweep.runs_per_device=1",
    )
    stopped = subprocess.Popen(
        [sys.executable, "-m", "redalign_jax", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(out.glob("blocks/*.results.parquet")):
        assert stopped.poll() is None
        time.sleep(0.02)
    stopped.send_signal(signal.SIGINT)
    said = stopped.communicate(timeout=120)[1]
    assert stopped.returncode == 75 and "Traceback" not in said
    assert [line for line in said.splitlines() if "to go on: python -m redalign_jax" in line]
    assert list(out.glob("blocks/*.results.parquet"))


def test_a_name_that_is_no_text_is_refused(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    refused(command(*experiment_in(tmp_path), f"--workdir={folder}"), "is no name in UTF-8")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--helpfull"], ["-h"]])
def test_help_is_a_page(arguments):
    done = command(*arguments)
    assert done.returncode == 0 and not done.stderr
    for word in ("--job=sweep", "--job=report", "--workdir", "configs/arrays.py", "--helpfull"):
        assert word in done.stdout or (arguments == ["--helpfull"] and word == "--helpfull")
    everything = "--config.hyper.strength=0.0,0.1" in done.stdout
    assert everything == (arguments == ["--helpfull"])
    assert ("--config.data.path=" in done.stdout) == everything


def test_the_commands_of_the_readme_run_in_the_order_printed(tmp_path):
    """On small data and few steps: no workdir of one is in the way of the next."""
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    found = [shlex.split(line)[3:] for line in lines if line.startswith("python -m redalign_jax -")]
    assert len(found) >= 4
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    x = {name: y[:, None] + rng.standard_normal((400, 3)) for name in ("vision", "text")}
    np.savez(tmp_path / "mine.npz", **x, labels=y)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    few = ["folds=2", "ensemble_size=1", "steps=10", "n_resamples=0"]
    few = [f"--config.decompose.{one}" for one in few] + ["--config.advise.minutes=0.001"]
    few += ["--config.sweep.balanced=False"]
    for arguments in found:
        done = command(*arguments, *SMALL[:-1], *few, folder=tmp_path)
        assert done.returncode == 0, (arguments, done.stderr)
