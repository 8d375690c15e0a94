"""Models as files: whole, or one line; nothing that a file claims is believed unchecked."""

import hashlib
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from helpers import fitted
from helpers.commands import ROOT

import redalign_jax as ra
from redalign_jax.fitted import files


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return fitted.model("numbers").save(tmp_path_factory.mktemp("saved") / "deep" / "model")


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def refused(folder, *words):
    with pytest.raises(ra.UserError) as error:
        ra.load(folder)
    assert "\n" not in str(error.value) and str(error.value).startswith("model: ")
    for word in words:
        assert word in str(error.value), error.value


def change(folder, edit, tensors=lambda held: held):
    """Rewrites a model as somebody would who knows the seals."""
    about = json.loads((folder / "model.json").read_text())
    file = folder / about["weights"]["file"]
    content = safetensors.numpy.save(tensors(safetensors.numpy.load(file.read_bytes())))
    file.write_bytes(content)
    about.pop("sha256")
    about["weights"]["sha256"] = hashlib.sha256(content).hexdigest()
    edit(about)
    (folder / "model.json").write_text(json.dumps(about | {"sha256": files._seal(about)}))


def nothing(about):
    """No edit."""


@pytest.mark.parametrize(
    "names", [("a", "b"), (b"\xff", b"x"), (3, 7, 900), (False, True), None], ids=str
)
def test_what_is_loaded_is_what_was_saved(names, tmp_path):
    model = fitted.model(class_names=names)
    again = ra.load(model.save(tmp_path / "m"))
    assert repr(again) == repr(model) and again.about == model.about
    assert (again.target_mean, again.target_scale) == (model.target_mean, model.target_scale)
    if names is None:
        assert again.class_names is None
    else:
        assert again.class_names.dtype == model.class_names.dtype
        assert again.class_names.tolist() == list(names)
    for name, encoder in model.encoders.items():
        other = again.encoders[name]
        assert other.module == encoder.module and other.input.words == encoder.input.words
        left, right = (files._tensors(m) for m in (model, again))
        assert left.keys() == right.keys()
        for key in left:
            np.testing.assert_array_equal(left[key], right[key])
    assert len(list((tmp_path / "m").iterdir())) == 2


@pytest.mark.slow
def test_another_process_embeds_the_same_bits(saved, tmp_path):
    x = fitted.rows("numbers")
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, numpy as np, redalign_jax as ra; model = ra.load(sys.argv[1]);"
        "x = np.load(sys.argv[2] + '/x.npy');"
        "np.save(sys.argv[2] + '/z.npy', model.embed('numbers', x));"
        "np.save(sys.argv[2] + '/p.npy', model.predict_proba('numbers', x))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, saved, tmp_path], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    model = fitted.model("numbers")
    for file, want in (("z", model.embed), ("p", model.predict_proba)):
        np.testing.assert_array_equal(np.load(tmp_path / f"{file}.npy"), want("numbers", x))


def test_a_model_replaces_the_one_before_whole_or_not_at_all(copy, monkeypatch):
    write_json = files.workdir.write_json

    def full(path, value):
        raise ra.UserError("workdir: no space left")

    other = fitted.model("numbers", class_names=(1, 2))
    before = {p.name: p.read_bytes() for p in copy.iterdir()}
    monkeypatch.setattr(files.workdir, "write_json", full)
    with pytest.raises(ra.UserError, match="^model: no space left"):
        other.save(copy)
    assert {p.name: p.read_bytes() for p in copy.iterdir()} == before
    with pytest.raises(ra.UserError, match="no space left"):
        other.save(copy.parent / "new")
    assert not (copy.parent / "new").exists()
    monkeypatch.setattr(files.workdir, "write_json", write_json)
    other.save(copy)
    assert ra.load(copy).class_names.tolist() == [1, 2] and len(list(copy.iterdir())) == 2
    other.save(copy)  # the very same
    assert len(list(copy.iterdir())) == 2
    (copy / "model.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ra.UserError, match="no model of redalign; name another folder"):
        other.save(copy)
    with pytest.raises(ra.UserError, match="is a file"):
        other.save(copy / "model.json")


def test_every_flipped_or_missing_byte_is_seen(copy):
    """At twenty places of both files, and their ends."""
    for path in copy.iterdir():
        whole = path.read_bytes()
        for at in np.linspace(0, len(whole) - 1, 20).astype(int):
            torn = bytearray(whole)
            torn[at] ^= 16
            path.write_bytes(bytes(torn))
            refused(copy)
        for part in (whole[:-2], whole[: len(whole) // 2], b"", whole + b" ]"):
            path.write_bytes(part)
            refused(copy)
        path.write_bytes(whole)
    ra.load(copy)


def test_what_is_no_model_is_one_line(copy, tmp_path):
    refused(tmp_path / "nowhere", "holds no model.json")
    refused(tmp_path / "copy" / "model.json", "model.json")
    path = copy / "model.json"
    about = json.loads(path.read_text())
    for held in ("[1]", '{"format": "bert"}', "{}", '"x"', "null"):
        path.write_text(held)
        refused(copy, "is no model of redalign")
    path.write_text("[" * 100_000)
    refused(copy, "no JSON")
    path.write_bytes(pickle.dumps({"format": files.FORMAT}))
    refused(copy, "no JSON")
    for version in (2, "1", None, 1e9):
        path.write_text(json.dumps(about | {"version": version}))
        refused(copy, "reads up to 1, update it")
    path.write_text(json.dumps(about))
    (copy / about["weights"]["file"]).unlink()
    refused(copy, "cannot be read")


def into(*keys):
    """An edit of the value at these keys."""

    def edit(about, value):
        for key in keys[:-1]:
            about = about[key]
        about[keys[-1]] = value

    return edit


ENCODER = ("modalities", "numbers", "encoder")
INPUT = ("modalities", "numbers", "input")


@pytest.mark.parametrize(
    ("keys", "value", "word"),
    [
        ((*ENCODER, "kind"), "os.system", "no kind of encoder"),
        ((*ENCODER, "kind"), ["mlp"], ""),
        ((*ENCODER, "widths"), [9], "not float32 (9,)"),
        ((*ENCODER, "widths"), [10**9], "widths"),
        ((*ENCODER, "widths"), "8", "widths"),
        ((*ENCODER, "activation"), "eval", "activation"),
        ((*ENCODER, "more"), 1, "has kind, widths"),
        ((*INPUT, "shape"), [5], "not float64 (5,)"),
        ((*INPUT, "shape"), [2**20, 2**20], "no shape"),
        ((*INPUT, "shape"), [], "no shape"),
        ((*INPUT, "shape"), [-4], "no shape"),
        ((*INPUT, "kind"), "sequence", "no sequence is of shape"),
        ((*INPUT, "dtype"), "object", "of no kind"),
        ((*INPUT, "standardised"), False, "belongs to no encoder"),
        ((*INPUT, "transform"), "exec", "no such transform"),
        ((*INPUT, "vocabulary"), 3, "vocabularies do not fit"),
        (("classes", "names"), ["a"], "its classes are none"),
        (("classes", "dtype"), "O", "its classes are none"),
        (("classes", "names"), ["a", "b"], "not float32 (2,)"),
        (("classes",), None, "not float32 (1,)"),
        (("target", "scale"), float("nan"), "not finite"),
        (("modalities",), {}, "no encoder"),
        (("modalities",), None, ""),
        (("modalities", "numbers"), 3, ""),
        (("weights", "file"), "../model.safetensors", "no file beside it"),
        (("weights",), {}, "no file beside it"),
    ],
)
def test_what_a_file_claims_is_checked(keys, value, word, copy):
    change(copy, lambda about: into(*keys)(about, value))
    refused(copy, "damaged", word)


@pytest.mark.parametrize(
    ("tensors", "word"),
    [
        (lambda held: {n: v for n, v in held.items() if "bias" not in n}, "is missing"),
        (lambda held: held | {"sound/encoder/x": np.zeros(3)}, "belongs to no encoder"),
        (lambda held: {n: v.astype(np.float16) for n, v in held.items()}, "is float16"),
        (lambda held: {n: v * np.nan for n, v in held.items()}, "is not finite"),
        (lambda held: held | {"numbers/spread": -held["numbers/spread"]}, "no such scale"),
        (lambda held: {n: v[..., None] for n, v in held.items()}, "not float"),
    ],
)
def test_tensors_fit_the_architecture(tensors, word, copy):
    change(copy, nothing, tensors)
    refused(copy, "damaged", word)


def test_a_header_that_lies_is_refused_without_memory(copy):
    """Of its own length, of a tensor's size, of what is pickled."""
    header = {"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    text = json.dumps(header).encode()
    lies = [
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", len(text)) + text,
        pickle.dumps({"x": np.zeros(3)}),
    ]
    about = json.loads((copy / "model.json").read_text())
    for content in lies:
        (copy / about["weights"]["file"]).write_bytes(content)

        def seal(about, content=content):
            about["weights"]["sha256"] = hashlib.sha256(content).hexdigest()

        about.pop("sha256", None)
        seal(about)
        (copy / "model.json").write_text(json.dumps(about | {"sha256": files._seal(about)}))
        refused(copy, "damaged")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ra.UserError, match="^model: .* cannot be written"):
        fitted.model("numbers").save(tmp_path / "file" / "model")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.slow
def test_stablehlo_runs_where_redalign_is_not(tmp_path):
    """Any number of rows in the user's units; levels, texts and sequences too."""
    model = fitted.model("numbers", "counts", "levels", "words", "sounds")
    for name in model.encoders:
        x = fitted.rows(name)
        x = x.astype(np.float32) if x.dtype == np.float64 else x
        np.save(tmp_path / f"{name}.npy", x)
        model.export_stablehlo(tmp_path / f"{name}.bin", name)
    code = """
import sys
from pathlib import Path
import numpy as np
from jax import export
for path in Path(sys.argv[1]).glob("*.bin"):
    serve = export.deserialize(bytearray(path.read_bytes()))
    x = np.load(path.with_suffix(".npy"))
    for n in (40, 3):
        h, p = serve.call(x[:n])
        np.savez(path.with_suffix(f".{n}.npz"), h=h, p=p)
assert not [name for name in sys.modules if name.startswith("redalign")]
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in model.encoders:
        x = np.load(tmp_path / f"{name}.npy")
        for n in (40, 3):
            with np.load(tmp_path / f"{name}.{n}.npz") as served:
                want = model.embed(name, x[:n]), model.predict_proba(name, x[:n])
                np.testing.assert_allclose(served["h"], want[0], rtol=1e-4, atol=2e-5)
                np.testing.assert_allclose(served["p"], want[1], rtol=1e-4, atol=2e-5)
    with pytest.raises(ra.UserError, match="no modality 'sound'"):
        model.export_stablehlo(tmp_path / "x", "sound")
    with pytest.raises(ra.UserError, match="^export of 'numbers': .* cannot be written"):
        model.export_stablehlo(tmp_path / "words.npy" / "x", "numbers")
