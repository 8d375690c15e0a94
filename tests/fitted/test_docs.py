"""docs/encoders.md runs as printed, from top to bottom."""

import re

import numpy as np
import pytest
from helpers.commands import ROOT


@pytest.mark.slow
def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4 and len(blocks[0].splitlines()) <= 25
    assert len(blocks[1].split("\n\n", 1)[1].splitlines()) <= 10
    names = {}
    for block in blocks:
        exec(compile(block, "encoders.md", "exec"), names)  # noqa: S102
    assert capsys.readouterr().out.startswith("(5, 64)\n")
    model, new = names["model"], names["new"]
    want, p = model.embed("vision", new), model.predict_proba("vision", new)
    np.testing.assert_allclose(names["h"], want, rtol=1e-4, atol=1e-5)
    odds = np.exp(names["logits"])
    np.testing.assert_allclose(odds / odds.sum(1, keepdims=True), p, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(names["embedding"], want, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(names["probabilities"], p, rtol=1e-4, atol=2e-5)
    assert model.score("vision", names["vision"], names["labels"]) > 0.8
    assert names["classifier"].score(names["both"], names["labels"]) > 0.8
