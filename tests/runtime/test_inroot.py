"""Paths that stay inside a root."""

import os
from pathlib import Path

import pytest

from runtime.inroot import make_directories_in_root, open_in_root, touch_in_root

ME = {"uid": os.getuid(), "gid": os.getgid()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("outside")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def read(root: Path | int, path: str) -> str:
    with os.fdopen(open_in_root(root, path, os.O_RDONLY)) as file:
        return file.read()


@pytest.mark.parametrize("path", ["a/x", "/a/x", "../a/x", "a/../../a/x", "link/x", "abs/x"])
def test_paths_and_links_are_resolved_inside(root: Path, path: str) -> None:
    (root / "a").mkdir()
    (root / "a/x").write_text("inside")
    (root / "link").symlink_to("../../../a")
    (root / "abs").symlink_to("/a")

    descriptor = os.open(root, os.O_PATH)

    assert read(root, path) == read(descriptor, path) == "inside"
    os.close(descriptor)


def test_the_descriptor_is_not_inherited(root: Path) -> None:
    descriptor = open_in_root(root, ".", os.O_PATH)

    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_the_kernels_own_links_are_refused(root: Path) -> None:
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        open_in_root(Path("/proc/self"), "root/etc", os.O_PATH)


def test_errors_name_the_path(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match="a/b"):
        open_in_root(root, "a/b", os.O_RDONLY)
    with pytest.raises(OSError, match="no NUL"):
        open_in_root(root, "a\0b", os.O_RDONLY)


@pytest.mark.parametrize("path", ["a/b/c", "/a/b/c/", "./a//b/./c", "a/x/../b/c", "/../a/b/c"])
def test_folders_are_made_and_may_be_there(root: Path, path: str) -> None:
    old = os.umask(0o077)
    for _ in range(2):
        make_directories_in_root(root, path, **ME, mode=0o751)
    os.umask(old)

    assert (root / "a/b/c").stat().st_mode & 0o777 == 0o751
    assert (root / "a").stat().st_mode & 0o777 == 0o751


@pytest.mark.parametrize("target", ["/x/y", "../../x/y", "x/y"])
def test_dangling_links_lead_to_folders_inside(root: Path, target: str) -> None:
    (root / "link").symlink_to(target)

    make_directories_in_root(root, "link/z", **ME)

    assert (root / "x/y/z").is_dir()
    assert (root / "link").is_symlink()


def test_nothing_is_made_outside(root: Path) -> None:
    outside = root.parent / "outside"
    (root / "link").symlink_to(outside)
    (root / "up").symlink_to("../outside")

    make_directories_in_root(root, "link/z", **ME)
    touch_in_root(root, "up/file")
    touch_in_root(root, "link/other")

    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "outside"
    assert (root / "outside/file").read_text() == ""


def test_loops_and_files_in_the_way_are_errors(root: Path) -> None:
    (root / "loop").symlink_to("loop")
    (root / "file").touch()

    with pytest.raises(OSError, match="Too many levels"):
        make_directories_in_root(root, "loop/x", **ME)
    with pytest.raises(NotADirectoryError):
        make_directories_in_root(root, "file/x", **ME)
    with pytest.raises(NotADirectoryError):
        make_directories_in_root(root, "file", **ME)


def test_a_file_is_made_with_the_folders_above_it(root: Path) -> None:
    (root / "resolv").symlink_to("run/stub")

    for _ in range(2):
        touch_in_root(root, "etc/a/hosts")
        touch_in_root(root, "resolv")

    assert (root / "etc/a/hosts").is_file() and (root / "run/stub").is_file()


def test_a_file_that_is_there_keeps_its_content(root: Path) -> None:
    (root / "file").write_text("content")

    touch_in_root(root, "file")

    assert (root / "file").read_text() == "content"
