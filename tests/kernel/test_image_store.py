"""The image store: what it takes in, keeps, and gives up."""

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from labs.image import build
from runtime import syscalls
from runtime.errors import ArchiveError, DiskFullError, ImageStoreError
from runtime.images import ImageStore

pytestmark = pytest.mark.kernel


def tar_of(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


ONE = tar_of("etc/one", b"1")
TWO = tar_of("etc/two", b"22")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.fixture
def load(store: ImageStore, tmp_path: Path) -> Callable:
    def loaded(archive: bytes) -> list:
        (tmp_path / "archive").write_bytes(archive)
        return store.load(tmp_path / "archive")

    return loaded


def contents(root: Path) -> set[str]:
    """What is in a store, two levels deep."""
    found = {str(path.relative_to(root)) for path in root.glob("*/*")}
    found |= {str(path.relative_to(root)) for path in root.glob("blobs/sha256/*")}
    return found - {"blobs/sha256"}


def test_a_root_file_system_becomes_an_image(store: ImageStore, tmp_path: Path) -> None:
    rootfs = tar_of("bin/x", b"123")
    (tmp_path / "rootfs.tgz").write_bytes(gzip.compress(rootfs))
    created = datetime(2024, 5, 6, tzinfo=UTC)

    image = store.import_rootfs(
        tmp_path / "rootfs.tgz", config={"Cmd": ["x"]}, message="why", created=created
    )

    assert (image.diff_ids, image.names, image.size) == ((digest(rootfs),), (), 3)
    assert image.config["config"] == {"Cmd": ["x"]}
    assert image.config["created"] == "2024-05-06T00:00:00Z"
    assert image.config["history"] == [{"created": "2024-05-06T00:00:00Z", "comment": "why"}]
    assert store.config(image.id) == image.config


@pytest.mark.parametrize("rootfs", [b"", b"x" * 2000, tar_of("../x", b"")])
def test_a_bad_root_file_system_is_refused(
    store: ImageStore, tmp_path: Path, rootfs: bytes
) -> None:
    (tmp_path / "rootfs").write_bytes(rootfs)

    with pytest.raises(ArchiveError, match="the root file system "):
        store.import_rootfs(tmp_path / "rootfs", config={}, message="", created=datetime.now(UTC))

    assert contents(tmp_path / "images") == set()


def test_removing_an_image_keeps_what_others_use(
    load: Callable, store: ImageStore, tmp_path: Path
) -> None:
    (first,) = load(build.archive([ONE], "one"))
    (second,) = load(build.archive([ONE, TWO], "two"))

    for _ in range(2):
        store.remove(second.id, set(first.diff_ids))

    assert store.layer_paths(first.diff_ids)[0].is_dir()
    with pytest.raises(ImageStoreError, match=f"lacks layer {digest(TWO)}"):
        store.layer_paths(second.diff_ids)
    with pytest.raises(ImageStoreError, match=f"lacks image {second.id}"):
        store.config(second.id)
    store.remove(first.id, ())
    assert contents(tmp_path / "images") == set()


def test_a_sweep_keeps_known_images_and_removes_the_rest(
    load: Callable, store: ImageStore, tmp_path: Path
) -> None:
    root = tmp_path / "images"
    (known,) = load(build.archive([ONE], "one"))
    kept = contents(root)
    load(build.archive([ONE, TWO], "two"))
    (root / "partial/half/layer/etc").mkdir(parents=True)
    (root / "partial/half/layer/etc/file").touch()

    for _ in range(2):
        store.sweep([known.id])

    assert contents(root) == kept
    assert (store.layer_paths(known.diff_ids)[0] / "etc/one").exists()


def test_loads_of_the_same_image_at_once_give_the_same(
    load: Callable, store: ImageStore, tmp_path: Path
) -> None:
    (tmp_path / "both").write_bytes(build.archive([ONE, TWO], "two"))

    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(store.load, [tmp_path / "both"] * 8))

    assert loaded == [loaded[0]] * 8
    assert len(store.layer_paths(loaded[0][0].diff_ids)) == 2
    assert not list((tmp_path / "images/partial").iterdir())


def test_a_sweep_survives_an_image_whose_configuration_is_gone(
    load: Callable, store: ImageStore, caplog: pytest.LogCaptureFixture
) -> None:
    (image,) = load(build.archive([ONE], "one"))
    missing = digest(b"missing")

    store.sweep([image.id, missing])

    assert store.layer_paths(image.diff_ids)
    assert f"image {missing} cannot be used" in caplog.text


def test_ids_that_are_none_reach_no_file(store: ImageStore) -> None:
    for wrong in ("", "sha256:../../etc/passwd", "../x", "sha256:" + "A" * 64):
        with pytest.raises(ImageStoreError, match="no id of an image or a layer"):
            store.config(wrong)
        with pytest.raises(ImageStoreError, match="no id of an image or a layer"):
            store.layer_paths([wrong])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    syscalls.mount("tmpfs", str(folder), "tmpfs", 0, "size=1m")
    yield folder
    syscalls.umount(str(folder), syscalls.MNT_DETACH)


@pytest.mark.parametrize("outer", [bytes, gzip.compress])
def test_a_full_disk_is_named_and_nothing_is_left(
    small_disk: Path, tmp_path: Path, outer: Callable
) -> None:
    store = ImageStore(small_disk / "images")
    free = os.statvfs(small_disk).f_bavail
    (tmp_path / "archive").write_bytes(
        outer(build.archive([ONE, tar_of("x", bytes(2 << 20))], "big"))
    )

    with pytest.raises(DiskFullError, match=f"no space left in {small_disk}/images"):
        store.load(tmp_path / "archive")

    assert contents(small_disk / "images") == set()
    assert os.statvfs(small_disk).f_bavail == free


def test_an_archive_that_is_not_there_is_an_error_of_the_store(
    store: ImageStore, tmp_path: Path
) -> None:
    with pytest.raises(ImageStoreError, match="No such file"):
        store.load(tmp_path / "missing")


def test_other_users_cannot_reach_the_layers(store: ImageStore, tmp_path: Path) -> None:
    assert (tmp_path / "images").stat().st_mode & 0o077 == 0
