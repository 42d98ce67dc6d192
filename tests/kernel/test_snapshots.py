"""Overlay mounts of containers' root file systems."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runtime import overlay
from runtime.errors import SnapshotError
from runtime.overlay import Overlay, mount_old, unmount
from runtime.snapshots import Snapshots

pytestmark = pytest.mark.kernel


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for target in ("rootfs", "other"):
        with suppress(OSError, SnapshotError):
            unmount(tmp_path / target)


def layer(place: Path, name: str, files: dict[str, str]) -> Path:
    folder = place / name
    folder.mkdir()
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_upper_layers_cover_lower_ones_and_writes_go_to_the_upper_folder(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    lower = [layer(place, "one", {"a": "1", "b": "1"}), layer(place, "two", {"b": "2"})]

    snapshots.create("c1")
    snapshots.mount("c1", lower, place / "rootfs")
    (place / "rootfs/new").write_text("12345")

    assert (place / "rootfs/a").read_text() == "1"
    assert (place / "rootfs/b").read_text() == "2"
    assert (place / "containers/c1/upper/new").read_text() == "12345"
    assert snapshots.size("c1") == 5
    assert stat.S_IMODE((place / "rootfs").stat().st_mode) == 0o755


def test_every_verb_may_be_repeated(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    lower = [layer(place, "one", {"a": "1"})]
    target = place / "rootfs"

    for _ in range(2):
        snapshots.create("c1")
        snapshots.mount("c1", lower, target)
    mounts = Path("/proc/self/mountinfo").read_text().count(f" {target} ")
    for _ in range(2):
        snapshots.unmount(target)
        snapshots.remove("c1")

    assert mounts == 1
    assert str(target) not in Path("/proc/self/mountinfo").read_text()
    assert not (place / "containers/c1").exists()
    assert snapshots.size("c1") == 0


def test_what_a_container_wrote_is_there_when_it_is_mounted_again(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    lower = [layer(place, "one", {"a": "1"})]
    snapshots.create("c1")
    snapshots.mount("c1", lower, place / "rootfs")
    (place / "rootfs/kept").write_text("x")
    (place / "rootfs/a").unlink()

    snapshots.unmount(place / "rootfs")
    snapshots.mount("c1", lower, place / "rootfs")

    assert names(place / "rootfs") == ["kept"]


def test_a_mount_that_is_busy_can_be_unmounted(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    snapshots.create("c1")
    snapshots.mount("c1", [layer(place, "one", {"a": "1"})], place / "rootfs")

    with (place / "rootfs/a").open() as busy:
        snapshots.unmount(place / "rootfs")
        snapshots.remove("c1")

        assert busy.read() == "1"
    assert names(place / "rootfs") == []


def test_a_mounted_snapshot_is_not_removed(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    snapshots.create("c1")
    snapshots.mount("c1", [layer(place, "one", {"a": "1"})], place / "rootfs")

    with pytest.raises(SnapshotError, match="c1 is still mounted at "):
        snapshots.remove("c1")

    assert (place / "rootfs/a").exists()


def test_other_files_of_a_container_outlive_its_snapshot(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    snapshots.create("c1")
    (place / "containers/c1/hostname").write_text("web")

    snapshots.remove("c1")

    assert names(place / "containers/c1") == ["hostname"]


def test_another_mount_in_the_way_is_named(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    lower = [layer(place, "one", {"a": "1"})]
    snapshots.create("c1")
    snapshots.create("c2")
    snapshots.mount("c1", lower, place / "rootfs")

    with pytest.raises(SnapshotError, match="something else is mounted at "):
        snapshots.mount("c2", lower, place / "rootfs")


def test_an_image_without_layers_gives_an_empty_root(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    snapshots.create("c1")

    snapshots.mount("c1", [], place / "rootfs")
    (place / "rootfs/a").touch()
    snapshots.unmount(place / "rootfs")
    snapshots.remove("c1")

    assert not (place / "containers/c1").exists()


def test_a_layer_that_comes_twice_counts_where_it_is_uppermost(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    one, two = layer(place, "one", {"a": "1"}), layer(place, "two", {"a": "2", "b": "2"})
    snapshots.create("c1")

    snapshots.mount("c1", [one, two, one], place / "rootfs")

    assert (place / "rootfs/a").read_text() == "1"
    assert (place / "rootfs/b").read_text() == "2"


def test_an_opaque_root_hides_all_layers_below(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    one, two = layer(place, "one", {"a": "1"}), layer(place, "two", {"b": "2"})
    os.setxattr(two, "trusted.overlay.opaque", b"y")
    snapshots.create("c1")

    snapshots.mount("c1", [one, two], place / "rootfs")

    assert names(place / "rootfs") == ["b"]


@pytest.mark.parametrize("mount", [overlay._mount_new, mount_old])
def test_a_hundred_layers_with_odd_names_are_mounted_either_way(place: Path, mount) -> None:
    lower = [layer(place, f"{'long' * 12},:\\ {i}", {f"f{i}": str(i)}) for i in range(100)]
    for name in ("up:per", "work"):
        (place / name).mkdir()
    (place / "other").mkdir()

    mount(Overlay(tuple(lower), place / "up:per", place / "work"), place / "other")

    assert len(names(place / "other")) == 100


def test_the_mount_is_private(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    snapshots.create("c1")

    snapshots.mount("c1", [layer(place, "one", {"a": "1"})], place / "rootfs")

    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    fields = next(line.split() for line in lines if f" {place / 'rootfs'} " in line)
    assert fields[6] == "-"  # no shared:, master: or propagate_from:


def test_a_missing_layer_is_an_error_that_says_where(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    snapshots.create("c1")

    with pytest.raises(SnapshotError, match=r"rootfs: No such file or directory"):
        snapshots.mount("c1", [place / "missing"], place / "rootfs")


def test_trees_of_any_depth_are_removed(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    snapshots.create("c1")
    folder = os.open(place / "containers/c1/upper", os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("deep" * 10, dir_fd=folder)
        inner = os.open("deep" * 10, os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)

    size = snapshots.size("c1")
    snapshots.remove("c1")

    assert size == 0
    assert not (place / "containers/c1").exists()


def test_links_out_of_a_snapshot_are_removed_and_not_followed(place: Path) -> None:
    snapshots = Snapshots(place / "containers")
    snapshots.create("c1")
    (place / "outside").mkdir()
    (place / "outside/file").touch()
    (place / "containers/c1/upper/link").symlink_to(place / "outside")

    snapshots.remove("c1")

    assert (place / "outside/file").exists()
    shutil.rmtree(place / "outside")
