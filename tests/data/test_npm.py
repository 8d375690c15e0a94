"""Archives from the npm registry: got once through npm, checked, read without unpacking."""

import pytest
from helpers import archives

from redalign_jax.data import npm
from redalign_jax.errors import UserError

FILES = {"src/a.json": {"data": [1]}, "src/b.json": b"{", "LICENSE": b"free"}


@pytest.fixture
def package(tmp_path):
    return archives.write(tmp_path / "there", npm.Package("digits", "1.2.3", ""), FILES)


def with_npm(monkeypatch, folder, script):
    """The only program on the path is an `npm` that does this."""
    folder.mkdir()
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_what_is_there_is_read_and_npm_not_asked(tmp_path, monkeypatch, package):
    with_npm(monkeypatch, tmp_path / "bin", "exit 1")
    path = npm.fetch(package, str(tmp_path / "there"))
    content = npm.members(path, lambda name: name.startswith("src/"))
    assert sorted(content) == ["src/a.json", "src/b.json"]
    assert npm.parsed(path, "src/a.json", content) == {"data": [1]}
    for name, words in (("src/b.json", "is not JSON"), ("src/c.json", "no src/c.json in it")):
        with pytest.raises(UserError, match=words):
            npm.parsed(path, name, content)


def test_npm_gets_what_is_not_there_once(tmp_path, monkeypatch, package):
    source = tmp_path / "there/downloads/npm/digits-1.2.3.tgz"
    asked = tmp_path / "asked"
    with_npm(monkeypatch, tmp_path / "bin", f'echo "$@" >> {asked}; cp {source} .')
    for _ in range(2):
        path = npm.fetch(package, str(tmp_path / "new"))
        assert path.read_bytes() == source.read_bytes()
    assert asked.read_text() == "pack --silent --ignore-scripts digits@1.2.3\n"
    assert [p.name for p in path.parent.iterdir()] == ["digits-1.2.3.tgz"]


@pytest.mark.parametrize("script", ["echo first >&2; echo no such package >&2; exit 1", "exit 0"])
def test_where_npm_fails_the_path_and_what_to_put_there_is_said(
    tmp_path, monkeypatch, package, script
):
    with_npm(monkeypatch, tmp_path / "bin", script)
    with pytest.raises(UserError) as caught:
        npm.fetch(package, str(tmp_path / "new"))
    path = tmp_path / "new/downloads/npm/digits-1.2.3.tgz"
    assert str(caught.value).startswith(f"{path} is missing: put the npm package digits@1.2.3 the")
    assert "\n" not in str(caught.value)
    assert ("no such package" in str(caught.value)) == ("1" in script)
    assert not list(path.parent.iterdir())


def test_no_npm(tmp_path, monkeypatch, package):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="put the npm package digits@1.2.3 there, .*No such file"):
        npm.fetch(package, str(tmp_path / "new"))


def test_another_or_a_damaged_archive(tmp_path, package):
    path = npm.fetch(package, str(tmp_path / "there"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"tgz: not digits 1.2.3, delete it \(its checksum\)"):
        npm.fetch(package, str(tmp_path / "there"))
    with pytest.raises(UserError, match="tgz: cannot be read"):
        npm.members(path, lambda _: True)
