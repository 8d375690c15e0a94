"""The three ways of docs/own_data.md: the page's own code, run as it stands on small data."""

import re
import shlex

import numpy as np
import pandas as pd
import pytest
from helpers.commands import ROOT, SMALL, command

BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
PAGE = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
SECTIONS = [BLOCK.findall(part) for part in PAGE.split("\n## ")[1:]]
RNG = np.random.default_rng(0)
N = 120
Y = np.arange(N) % 3
RNA, PROTEIN = RNG.normal(size=(2, N, 4)) + Y[:, None]
TYPES = np.where(np.arange(N) % 5 == 1, None, np.array(["A", "B", "C"])[Y])


def run(blocks, folder, names=None):
    """Python in one namespace, commands with tiny settings; what the commands print."""
    said = []
    for language, text in blocks:
        if language == "python":
            exec(compile(text, "own_data.md", "exec"), names)  # noqa: S102
            continue
        for line in text.replace("\\\n", " ").strip().splitlines():
            words = shlex.split(line)
            assert words[:3] == ["python", "-m", "redalign_jax"]
            done = command(*words[3:], *SMALL * ("--job=sweep" in words), folder=folder)
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
    return said


def test_every_way_is_short():
    assert len(SECTIONS) == 3
    for blocks in SECTIONS:
        assert len(blocks) <= 3 and sum(text.count("\n") for _, text in blocks) <= 25


@pytest.mark.slow
def test_a_frame(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    columns = {f"rna_{i}": RNA[:, i] for i in range(4)}
    columns |= {f"protein_{i}": PROTEIN[:, i] for i in range(4)} | {"subtype": TYPES}
    looked, swept = run(SECTIONS[0], tmp_path, {"frame": pd.DataFrame(columns)})
    assert looked.startswith("cohort.parquet: 120 rows, 96 labelled in 3 classes: ")
    assert swept.startswith(looked.splitlines()[0])
    assert (tmp_path / "runs/cohort/report.html").exists()


@pytest.mark.slow
def test_arrays_and_a_table_in_another_order(tmp_path):
    folder = tmp_path / "pairs"
    folder.mkdir()
    np.save(folder / "image.npy", RNA)
    np.save(folder / "text.npy", PROTEIN)
    ids = [f"p{i:03}" for i in range(N)]
    (folder / "ids.txt").write_text("\n".join(ids))
    table = pd.DataFrame({"id": ids, "label": TYPES}).dropna().sample(frac=1, random_state=0)
    table.to_csv(folder / "labels.csv", index=False)
    (said,) = run(SECTIONS[1], tmp_path)
    assert said.startswith("pairs: 120 rows, 96 labelled in 3 classes: ")
    assert "joined by id: 96 rows are in all of image (120), text (120), labels (96)" in said
    assert (tmp_path / "runs/pairs/report.html").exists()


@pytest.mark.slow
def test_a_notebook(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = "seeds=2, train__steps=4, train__evaluations=2, encoder__embed_dim=4)"
    blocks = [
        (
            language,
            text.replace("seeds=8)", small).replace("strength=0.3)", f"strength=0.3, {small}"),
        )
        for language, text in SECTIONS[2]
    ]
    assert sum(text.count(small) for _, text in blocks) == 2
    names = {"rna": RNA, "protein": PROTEIN, "labels": TYPES, "new_rna": RNA[:7] + 1}
    run(blocks, tmp_path, names)
    assert "arrays: 120 rows, 96 labelled in 3 classes" in capsys.readouterr().out
    assert (tmp_path / "runs/notebook/report.html").exists()
    assert names["embeddings"].shape == (7, 4)
