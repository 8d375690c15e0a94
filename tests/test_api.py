"""The API: memory is as good as a file, arrays become a report, what is wrong is one line."""

import doctest
import json
import subprocess
import sys
import tomllib

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from helpers import tables
from helpers.commands import ROOT
from matplotlib.figure import Figure
from ml_collections import ConfigDict

import redalign_jax as ra
from redalign_jax import api, config_files
from redalign_jax.advise import explain
from redalign_jax.data import identity
from redalign_jax.data.sources import arrays
from redalign_jax.task import lengths

RNG = np.random.default_rng(0)
Y = np.arange(90) % 3
X = {"a": RNG.normal(size=(90, 4)), "b": RNG.integers(0, 256, (90, 9, 9)).astype(np.uint8)}
MISSING = np.where(np.arange(90) % 5 == 1, np.nan, (Y > 0) * 1.0)


def single(section):
    return ConfigDict({n: v[0] if isinstance(v, tuple) else v for n, v in section.items()})


def same(one, two):
    assert (one.modalities, one.classes, one.kinds) == (two.modalities, two.classes, two.kinds)
    for a, b in zip(
        (one.train, one.valid, one.test), (two.train, two.valid, two.test), strict=True
    ):
        np.testing.assert_array_equal(a.y, b.y)
        for left, right in zip(a.x, b.x, strict=True):
            np.testing.assert_array_equal(left, right)
    for a, b in zip(one.groups or (), two.groups or (), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"groups": np.repeat(np.arange(45), 2)},
        {
            "split": np.where(
                np.arange(90) < 50, "train", np.where(np.arange(90) < 70, "dev", "test")
            )
        },
        {"labels": MISSING},
        {"ids": {"a": np.arange(90), "b": np.arange(90)[::-1], "labels": np.arange(3, 93)}},
    ],
)
def test_memory_is_what_a_file_with_the_same_arrays_is(more, tmp_path):
    """Tasks of two seeds, and digests: a workdir of one is that of the other."""
    y = more.get("labels", Y)
    beside = {n: v for n, v in more.items() if n in ("groups", "split")}
    ids = {f"{name}_ids": v for name, v in more.get("ids", {}).items()}
    np.savez(tmp_path / "mine.npz", **X, labels=y, **beside, **ids)
    data = ra.arrays(X, y, **{n: v for n, v in more.items() if n != "labels"})
    section = single(data.section)
    file = ConfigDict(section.to_dict() | {"path": str(tmp_path / "mine.npz")})
    contents = []
    for load, where in ((data.load, section), (arrays.load, file)):
        with identity.recorded() as content:
            tasks = [load(where, seed) for seed in (0, 7)]
        contents.append((tasks, content))
    for one, two in zip(contents[0][0], contents[1][0], strict=True):
        same(one, two)
    assert contents[0][1] == contents[1][1]


def test_what_people_hold_arrays_in():
    frame = pd.DataFrame(X["a"], index=np.arange(5, 95))
    sparse = scipy.sparse.csr_array(X["a"])
    texts = [None if i % 5 == 1 else ("cat", "dog", "owl")[k] for i, k in enumerate(Y)]
    plain = ra.arrays({"p": X["a"], "q": X["a"], "r": X["a"]}, texts)
    mixed = ra.arrays(
        {"p": frame, "q": sparse, "r": jnp.asarray(X["a"])},
        pd.Series(texts, index=frame.index, dtype="category"),
    )
    one, two = (d.load(single(d.section), 0) for d in (plain, mixed))
    assert one.classes == 3 and len(one.train.y) + len(one.valid.y) + len(one.test.y) == 72
    for a, b in zip(one.train.x, two.train.x, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_array_equal(one.train.y, two.train.y)


def test_changing_an_array_later_changes_nothing():
    own = {name: x.copy() for name, x in X.items()}
    data = ra.arrays(own, Y)
    before = data.load(single(data.section), 0)
    own["a"][:] = 0
    same(before, data.load(single(data.section), 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modalities": {"a": X["a"][1:], "b": X["b"]}}, "array 'a' has 89 rows, but there are 90"),
        ({"modalities": {"a": X["a"]}}, "two or more arrays by name"),
        ({"modalities": X | {"labels": Y}}, "'labels' is no name of a modality"),
        ({"modalities": X | {"c": [[1], [[2]]]}}, "'c' differ in more than their length"),
        ({"labels": [[0, 1], [2]] * 45}, "multi-label"),
        ({"labels": [{0, 1}] * 90}, "multi-label"),
        (
            {"modalities": X | {"c": scipy.sparse.csr_array((2**20, 2**20))}},
            "too large to be",
        ),
        ({"labels": [None] * 90}, "no row has a label"),
        ({"labels": ["a", 1] * 45}, "texts and numbers"),
        ({"labels": np.where(Y == 0, "nan", "b")}, r"unlabelled='missing'"),
        ({"kinds": {"a": "image"}}, "which is no image"),
        ({"split": ["valid"] * 90}, "no examples in its train split"),
    ],
)
def test_what_cannot_be_used_is_one_line(change, message):
    given = {"modalities": X, "labels": Y, **change}
    with pytest.raises(ra.UserError, match=message) as error:
        data = ra.arrays(given.pop("modalities"), given.pop("labels"), **given)
        data.load(single(data.section), 0)
    assert "\n" not in str(error.value) and "--config" not in str(error.value)


def test_frames_are_joined_by_index(caplog):
    """The index is the ids: another order, and rows that not all have."""
    names = [f"s{i:02}" for i in range(90)]
    one = pd.DataFrame(X["a"], index=names)
    y = pd.Series(np.array(["u", "v", "w"])[Y], index=names)
    want = ra.arrays({"p": one, "q": one * 2}, y, groups=pd.Series(np.arange(90) // 2, names))
    groups = pd.Series(np.arange(90) // 2, names).iloc[::-1]
    mixed = ra.arrays({"p": one.iloc[::-1], "q": one.sample(frac=1) * 2}, y, groups=groups)
    assert "joined by id: 90 rows are in all of p (90), q (90), labels (90)" in caplog.text
    for seed in (0, 1):
        same(*(d.load(single(d.section), seed) for d in (want, mixed)))
    fewer = ra.arrays({"p": one.iloc[::-1], "q": one.iloc[10:]}, y.iloc[:70])
    assert repr(fewer).startswith("Dataset of 90 rows, 70 labelled")
    assert fewer.ready.present["q"].sum() == 80 and "p" not in fewer.ready.present
    with pytest.raises(ra.UserError, match="indexes of 'p' and 'q' differ, and 'labels' has none"):
        ra.arrays({"p": one, "q": one.iloc[::-1]}, Y)
    with pytest.raises(ra.UserError, match="differ, and that of 'q' repeats"):
        ra.arrays({"p": one, "q": pd.concat([one, one])}, y)
    with pytest.raises(ra.UserError, match="no id is in p_ids and q_ids alike"):
        ra.arrays({"p": one, "q": one.reset_index(drop=True)}, y)


def test_sequences_of_several_lengths_keep_their_lengths():
    ends = RNG.integers(1, 12, 90)
    steps = [RNG.normal(size=(n, 3)) for n in ends]
    steps[0][-1] = 0  # a last step of zeros is a step
    texts = [RNG.integers(1, 30, n).tolist() for n in ends]
    data = ra.arrays(
        {"a": X["a"], "steps": steps, "texts": texts, "line": [s[:, 0] for s in steps]}, Y
    )
    task = data.load(single(data.section), 0)
    assert task.kinds == ("vector", "sequence", "tokens", "sequence")
    for m in (1, 2, 3):
        found = [lengths(s.x[m]) for s in (task.train, task.valid, task.test)]
        np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.sort(ends))


@pytest.mark.parametrize("none", [None, np.nan, pd.NA, ""])
def test_rows_without_a_label(none):
    known = np.arange(90) % 5 != 1
    text = np.array(["cat", "dog", "owl"])[Y].astype(object)
    texts = ra.arrays(X, pd.Series(np.where(known, text, none)))
    task = texts.load(single(texts.section), 0)
    assert task.classes == 3 and len(task.train.x[0]) - len(task.train.y) == (~known).sum()
    if not isinstance(none, str):
        numbers = ra.arrays(X, pd.Series(np.where(known, Y.astype(object), none)))
        same(task, numbers.load(single(numbers.section), 0))


def test_frames_of_pandas_own_types():
    frame = pd.DataFrame({"u": pd.array(Y, "Int64"), "v": X["a"][:, 0], "w": Y > 1})
    data = ra.arrays({"a": frame, "b": X["b"]}, Y)
    assert "a (vector 3)" in repr(data)
    with pytest.raises(ra.UserError, match="column 'sex' of 'a' holds 'm', not numbers"):
        ra.arrays({"a": frame.assign(sex="m"), "b": X["b"]}, Y)


def test_counts_are_transformed_when_asked():
    counts = RNG.poisson(30, (90, 4))
    data = ra.arrays({"a": counts, "b": X["b"]}, Y, transform={"a": "log1p"})
    want = ra.arrays({"a": np.log1p(counts), "b": X["b"]}, Y)
    same(*(d.load(single(d.section), 0) for d in (data, want)))
    for how, line in (({"a": "sqrt"}, "a transform of log1p"), ({"c": "log1p"}, "name of a, b")):
        with pytest.raises(ra.UserError, match=line):
            ra.arrays({"a": counts, "b": X["b"]}, Y, transform=how)
    with pytest.raises(ra.UserError, match="'a' of arrays has numbers below 0"):
        ra.arrays(X, Y, transform={"a": "log1p"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strength": [1, 2]}, "hyper.strength: 0 is missing"),
        ({"train__stepz": 3}, "unknown config field: train.stepz"),
        ({"training": {"steps": 3}}, "unknown config field: training"),
        ({"train": 3}, "give train__FIELD=VALUE"),
        ({"train__steps": "many"}, "train.steps"),
        ({"seeds": 0}, "sweep.seeds"),
        ({"strength": [0, {"a": 1}]}, "not one λ each for a, b"),
        ({"data__kinds": "a=image"}, r"data.kinds: is said in redalign_jax.arrays"),
    ],
)
def test_a_bad_field_is_one_line(fields, message, tmp_path):
    with pytest.raises(ra.UserError, match=message) as error:
        ra.sweep(ra.arrays(X, Y), workdir=tmp_path / "new", **fields)
    assert "\n" not in str(error.value) and not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def examples():
    """What the examples in the docstrings leave behind, all of them run as printed."""
    names = {"np": np, **{name: getattr(api, name) for name in ra.__all__ if hasattr(api, name)}}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for function in (api.arrays, api.sweep, api.decompose, api.advise, api.fit):
        test = doctest.DocTestParser().get_doctest(
            function.__doc__, names, function.__name__, None, None
        )
        assert test.examples, f"{function.__name__} has no example"
        runner.run(test, clear_globs=False)
        names = test.globs
    assert not runner.failures
    return names


@pytest.mark.slow
def test_examples_run_as_printed_and_plots_are_matplotlibs(examples, tmp_path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    results = examples["results"]
    assert {"seed", "strength", "subject", "metric", "value"} <= set(results.table)
    assert "step" in results.curves
    assert set(results.best()["subject"]) == {"a", "b"}
    for kind in ("change", "similarity", "best_strength", "learning"):
        assert isinstance(results.plot(kind), Figure)
    own = Figure()
    FigureCanvasAgg(own)
    axes = own.subplots()
    assert results.plot("similarity", ax=axes) is axes and axes.lines
    with pytest.raises(ra.UserError, match="'dance' is not one of change"):
        results.plot("dance")


@pytest.mark.slow
def test_a_report_is_whole_and_goes_to_no_foreign_folder(examples, tmp_path):
    results = examples["results"]
    page = results.report(tmp_path / "mine")
    assert page == tmp_path / "mine" / "report.html" and page.stat().st_size > 10_000
    assert results.report(tmp_path / "mine") == page == ra.report(tmp_path / "mine")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "mine/results.parquet"), results.table)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(ra.UserError, match="holds no config.json"):
        results.report(tmp_path / "other")


def test_an_advice_says_all_that_is_needed_to_follow_it():
    found = tables.advised()
    assert explain.text(found).splitlines() == [
        "vision: align posteriors, λ = 1; expected change +3.0 [+1.0, +5.0] points of accuracy "
        "(hangs on other datasets)",
        "text: cannot tell, λ = 0; posterior would change it by +1.0 [-1.0, +3.0] points of "
        "accuracy, that is not enough to tell; about 60 more labels would",
        "audio: leave alone, λ = 0; posterior would change it by -1.0 [-3.0, +1.0] points of "
        "accuracy",
        "what to do: objective posterior, constant strength λ = 1 for vision, 0 for text, 0 for "
        "audio",
    ]
    found["config"]["alignment"]["objective"] = "info_nce"
    assert "objective info_nce, temperature 0.2," in explain.text(found)
    for row in found["encoders"].values():
        row["strength"] = 0.0
    assert explain.text(found).endswith("train without alignment, λ = 0")


def python(code):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_the_api_is_imported_when_it_is_asked_for():
    code = (
        "import sys, redalign_jax as ra; assert not {'jax', 'numpy'} & set(sys.modules);"
        "from redalign_jax import sweep; assert sweep is ra.sweep and callable(sweep.run);"
        "import inspect; assert 'strength' in inspect.signature(ra.sweep).parameters;"
        "assert ra.report.__doc__.startswith('Draws the report') and callable(ra.report.make);"
        "assert callable(ra.advise) and callable(ra.arrays); ra.nothing"
    )
    done = python(code)
    assert done.stderr.splitlines()[-1].endswith("has no attribute 'nothing'"), done.stderr


def test_experiments_have_names():
    folder = ROOT / "configs"
    assert config_files.path("mfeat") == str(folder / "mfeat.py")
    assert config_files.path("mfeat:x=1") == f"{folder / 'mfeat.py'}:x=1"
    assert config_files.path("configs/mfeat.py") == "configs/mfeat.py"
    assert config_files.load("mfeat").data.source == "mfeat"
    with pytest.raises(
        ra.UserError, match="no experiment is called 'nothing'; there are affect, arrays, "
    ):
        config_files.path("nothing")


@pytest.mark.slow
def test_the_console_script_is_python_m():
    """Its function is the one that handles streams; a reader that has gone ends nothing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["redalign"].partition(":")
    script = f"import sys; sys.argv = ['redalign', 'HERE']; from {module} import {function}; "
    script += f"sys.exit({function}())"
    ways = []
    for argument in ("--help", "--workdir=nowhere", "--config=nothing"):
        for command in (["-m", "redalign_jax", argument], ["-c", script.replace("HERE", argument)]):
            with open("/dev/full", "w") as full:
                done = subprocess.run(
                    [sys.executable, *command], cwd=ROOT, stdout=full, stderr=-1, text=True
                )
            ways.append((done.returncode, done.stderr))
    assert ways[0::2] == ways[1::2]
    assert [status for status, _ in ways[::2]] == [0, 2, 2]
    assert "standard output cannot be written" in ways[0][1]


@pytest.mark.slow
def test_the_notebook_runs(monkeypatch, tmp_path):
    """All its cells in order, on few rows; its cell tagged `sizes` says how many it takes."""
    monkeypatch.chdir(tmp_path)
    cells = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text())["cells"]
    names = {}
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        source = "".join(cell["source"])
        if "sizes" in cell["metadata"].get("tags", []):
            source = "rows, labelled, seeds, steps, minutes = 300, 60, 2, 20, 0.001\n"
            source += "estimate = {'folds': 2, 'ensemble_size': 1, 'steps': 10, 'n_resamples': 0}\n"
        exec(compile(source, "tutorial", "exec"), names)  # noqa: S102
    assert isinstance(names["results"], ra.Results) and names["page"].exists()
