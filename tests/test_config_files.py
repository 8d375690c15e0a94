"""Files of experiments: whatever they do, the line names the file and what went wrong in it."""

import pytest
from helpers.commands import command, refused

from redalign_jax import config_files
from redalign_jax.errors import UserError

HEAD = "from redalign_jax.config import base\nfrom redalign_jax.data.sources import mfeat\n"
LOCKED = "def get_config():\n    config = base(mfeat.defaults())\n    config.train.stepss = 3\n"
FILES = {
    "def get_config():\n    return 1 / 0\n": r"division by zero \(line 2\)",
    "def get_config():\n    raise ValueError('mine: no\\nmore')\n": r"mine: no \(line 2\)",
    "def get_config():\n    assert False\n": r"AssertionError \(line 2\)",
    "x = 1\n": r"it has no get_config\(\)",
    "def get_config():\n    return 3\n": r"get_config\(\) gives 3, which is no experiment",
    "import nothing_there\n": r"No module named 'nothing_there' \(line 1\)",
    "def get_config(:\n": r"invalid syntax \(mine.py, line 1\)",
    HEAD + LOCKED.replace("train.stepss", "hyper.debias"): (
        r"there is no field 'debias'; it is called hyper.false_negative_weight now \(line 5\)"
    ),
    HEAD + LOCKED: r"there is no field 'stepss'; did you mean steps\? \(line 5\)",
}


@pytest.mark.parametrize("text", FILES)
def test_a_file_that_fails_is_one_line(tmp_path, text):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(UserError, match=rf"^config: .*mine\.py.*: {FILES[text]}$"):
        config_files.load(str(tmp_path / "mine.py"))


@pytest.mark.slow
def test_so_it_is_on_the_command_line_whatever_flags_follow(tmp_path):
    path = tmp_path / "mine.py"
    for text, more in ((HEAD + LOCKED, ["--config.train.steps=3"]), (list(FILES)[0], [])):
        path.write_text(text)
        done = command("--job=sweep", f"--config={path}", *more, f"--workdir={tmp_path / 'w'}")
        refused(done, f"config: {path} cannot be loaded: ", f"line {text.count(chr(10))}")
    refused(command("--job=sweep", "--flagfile=/nothere"), "Unable to open flagfile", "/nothere")
    assert not (tmp_path / "w").exists()
