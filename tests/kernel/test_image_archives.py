"""Images from every kind of archive, and what is left of bad ones."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from labs.image import build
from runtime.errors import ArchiveError
from runtime.images import ImageStore
from runtime.manifests import architecture

pytestmark = pytest.mark.kernel

OCI = "application/vnd.oci.image"
COMPRESSIONS = [bytes, gzip.compress, bz2.compress, lzma.compress]


def tar_of(files: Mapping[str, bytes | str]) -> bytes:
    """A tar of files; a text instead of octets is what a symbolic link points to."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def config_of(*layers: bytes, **fields: object) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
    return json.dumps({"os": "linux", "rootfs": rootfs, "config": {}, **fields}).encode()


def docker_archive(
    *layers: bytes, names: list[str] | None = None, config: bytes = b"", **files: bytes | str
) -> bytes:
    paths = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = {"Config": "image.json", "RepoTags": names, "Layers": paths}
    members = {**dict(zip(paths, layers, strict=True)), **files}
    members["image.json"] = config or config_of(*layers)
    return tar_of({**members, "manifest.json": json.dumps([manifest]).encode()})


class Layout:
    """An OCI image layout being made."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | str] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def blob(self, content: bytes, kind: str, **fields: object) -> dict[str, Any]:
        self.files[f"blobs/{digest(content).replace(':', '/')}"] = content
        size = len(content)
        return {"mediaType": kind, "digest": digest(content), "size": size, **fields}

    def manifest(self, *layers: bytes, pack: Callable = bytes, **fields: object) -> dict[str, Any]:
        manifest = {
            "config": self.blob(config_of(*layers), f"{OCI}.config.v1+json"),
            "layers": [self.blob(pack(layer), f"{OCI}.layer.v1.tar") for layer in layers],
        }
        return self.blob(json.dumps(manifest).encode(), f"{OCI}.manifest.v1+json", **fields)

    def index(self, *manifests: dict[str, Any], **fields: object) -> dict[str, Any]:
        content = json.dumps({"manifests": manifests}).encode()
        return self.blob(content, f"{OCI}.index.v1+json", **fields)

    def archive(self, *manifests: dict[str, Any]) -> bytes:
        return tar_of({**self.files, "index.json": json.dumps({"manifests": manifests}).encode()})


ONE = tar_of({"etc/one": b"1" * 1000})
TWO = tar_of({"etc/two": b"22", "etc/.wh.one": b""})
OTHER = {"os": "linux", "architecture": "pdp11"}
OURS = {"os": "linux", "architecture": architecture()}


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


@pytest.fixture
def refused(load: Callable, tmp_path: Path) -> Callable:
    """Load a bad archive; what is said. Nothing may be left."""

    def said(archive: bytes) -> str:
        before = contents(tmp_path / "images")
        with pytest.raises(ArchiveError) as raised:
            load(archive)
        assert contents(tmp_path / "images") == before
        return str(raised.value)

    return said


def test_the_demo_image_is_loaded(load: Callable, store: ImageStore) -> None:
    layers = [build._tar(build._system()), ONE]

    (image,) = load(build.archive(layers, "demo:latest", User="demo"))

    assert image.names == ("demo:latest",)
    assert image.diff_ids == tuple(digest(layer) for layer in layers)
    assert image.config["config"]["User"] == "demo" and store.config(image.id) == image.config
    paths = store.layer_paths(image.diff_ids)
    assert (paths[0] / "bin/sh").is_symlink() and (paths[1] / "etc/one").read_text() == "1" * 1000
    assert image.size > 1_000_000


@pytest.mark.parametrize("outer", COMPRESSIONS)
@pytest.mark.parametrize("inner", COMPRESSIONS)
def test_archives_and_layers_may_be_compressed(
    load: Callable, store: ImageStore, outer: Callable, inner: Callable
) -> None:
    config = config_of(ONE, TWO)

    (image,) = load(outer(docker_archive(inner(ONE), inner(TWO), config=config)))

    assert image.id == digest(config)
    assert image.diff_ids == (digest(ONE), digest(TWO))
    assert image.size == 1002
    assert (store.layer_paths(image.diff_ids)[1] / "etc/one").is_char_device()


def test_layers_that_are_links_to_others_are_found(load: Callable) -> None:
    archive = docker_archive(
        ONE, ONE, config=config_of(ONE, ONE), **{"1/layer.tar": "../0/layer.tar"}
    )

    (image,) = load(archive)

    assert image.diff_ids == (digest(ONE),) * 2
    assert image.size == 2000


def test_several_images_share_layers_and_keep_their_order(load: Callable, tmp_path: Path) -> None:
    files = {
        "a.json": config_of(ONE),
        "b.json": config_of(ONE, TWO),
        "one.tar": ONE,
        "two.tar": TWO,
    }
    manifest = [
        {"Config": "b.json", "RepoTags": ["b", "host:5000/b:1"], "Layers": ["one.tar", "two.tar"]},
        {"Config": "a.json", "RepoTags": None, "Layers": ["one.tar"]},
        {"Config": "a.json", "RepoTags": ["docker.io/library/a:2"], "Layers": ["one.tar"]},
    ]

    images = load(tar_of({**files, "manifest.json": json.dumps(manifest).encode()}))

    assert [image.names for image in images] == [("b:latest", "host:5000/b:1"), ("a:2",)]
    assert len(list((tmp_path / "images/layers").iterdir())) == 2


def test_a_load_may_be_repeated(load: Callable, tmp_path: Path) -> None:
    archive = docker_archive(ONE, names=["a"])
    first = load(archive)
    marker = tmp_path / "images/layers" / digest(ONE)[7:] / "marker"
    marker.touch()

    assert load(archive) == first
    assert marker.exists()  # not unpacked again


def test_an_image_without_layers_is_loaded(load: Callable) -> None:
    (image,) = load(docker_archive())

    assert image.diff_ids == () and image.size == 0


def test_an_oci_archive_gives_names_by_annotation(load: Callable) -> None:
    layout = Layout()
    full = {"io.containerd.image.name": "docker.io/library/a:1"}
    short = {"org.opencontainers.image.ref.name": "b:2"}
    tag = {"org.opencontainers.image.ref.name": "latest"}

    images = load(
        layout.archive(
            layout.manifest(ONE, annotations={**full, **tag}),
            layout.manifest(TWO, pack=gzip.compress, annotations=short),
            layout.manifest(ONE, TWO, annotations=tag),
        )
    )

    assert [image.names for image in images] == [("a:1",), ("b:2",), ()]
    assert images[2].diff_ids == (digest(ONE), digest(TWO))


def test_this_machines_platform_is_chosen_from_nested_indexes(load: Callable) -> None:
    layout = Layout()
    attestation = {"vnd.docker.reference.type": "attestation-manifest"}
    unknown = {"os": "unknown", "architecture": "unknown"}
    inner = layout.index(
        layout.manifest(TWO, platform=OTHER),
        layout.manifest(TWO, platform=unknown, annotations=attestation),
        layout.manifest(TWO, platform={**OURS, "variant": "v99"}),
        layout.manifest(ONE, platform=OURS),
    )
    name = {"io.containerd.image.name": "multi:1"}

    (image,) = load(layout.archive(layout.index(inner, annotations=name)))

    assert (image.names, image.diff_ids) == (("multi:1",), (digest(ONE),))


def test_newer_docker_archives_hold_both_kinds_of_manifest(load: Callable) -> None:
    layout = Layout()
    entry = layout.index(layout.manifest(ONE))
    paths = {content: path for path, content in layout.files.items()}
    manifest = [{"Config": paths[config_of(ONE)], "RepoTags": ["both:1"], "Layers": [paths[ONE]]}]
    layout.files["manifest.json"] = json.dumps(manifest).encode()

    (image,) = load(layout.archive(entry))

    assert (image.id, image.names) == (digest(config_of(ONE)), ("both:1",))


def test_an_archive_for_other_machines_only_is_refused(refused: Callable) -> None:
    layout = Layout()

    said = refused(layout.archive(layout.index(layout.manifest(ONE, platform=OTHER))))

    assert said == f"the archive holds no image for linux/{architecture()}, but linux/pdp11"


def test_damaged_content_is_refused(refused: Callable) -> None:
    layout = Layout()
    entry = layout.manifest(ONE)
    good = layout.archive(entry)

    assert "damaged" in refused(docker_archive(ONE, config=config_of(TWO)))
    layout.files[f"blobs/sha256/{entry['digest'][7:]}"] = b"{}"
    assert "has the digest" in refused(layout.archive(entry))
    assert "damaged" in refused(good.replace(b"1" * 1000, b"0" * 1000))
    packed = gzip.compress(ONE)
    assert "damaged" in refused(docker_archive(packed[:-20], config=config_of(ONE)))
    assert "damaged" in refused(gzip.compress(good)[:-20])


def test_a_blob_of_another_digest_is_refused(refused: Callable) -> None:
    layout = Layout()
    entry = layout.manifest(ONE, pack=gzip.compress)
    path = next(path for path, content in layout.files.items() if content[:2] == b"\x1f\x8b")
    layout.files[path] = gzip.compress(ONE, compresslevel=1)

    assert "has another digest" in refused(layout.archive(entry))


def test_a_truncated_archive_is_refused_at_every_length(refused: Callable) -> None:
    archive = docker_archive(ONE, TWO)
    end = archive.index(b"manifest.json") + 600

    for length in range(0, end, 311):
        refused(archive[:length])


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (b"", "the image archive is empty"),
        (b"no tar at all" * 100, "no tar header at octet 0"),
        (tar_of({"x": b""}), "neither a manifest.json nor an index.json"),
        (tar_of({"manifest.json": b"[]"}), "holds no image"),
        (tar_of({"manifest.json": b"{"}), "manifest.json of the image archive makes no sense"),
        (tar_of({"manifest.json": b'[{"Config": 5}]'}), r"`$[0].Config`"),
        (tar_of({"manifest.json": b"[" * 99999}), "makes no sense"),
        (tar_of({"manifest.json": b'[{"Config": "../../etc/passwd"}]'}), "has no ../../etc/passwd"),
        (tar_of({"manifest.json": "/etc/passwd"}), "neither a manifest.json"),
        (docker_archive(ONE, config=config_of(ONE, TWO)), "names 2 layers, its manifest 1"),
        (docker_archive(ONE, config=b"[]"), "an image's configuration"),
        (docker_archive(ONE, names=["UPPER"]), "must be lowercase"),
        (docker_archive(ONE, **{"0/layer.tar": "0/layer.tar"}), "has no 0/layer.tar"),
        (docker_archive(b"\x28\xb5\x2f\xfd123", config=config_of(ONE)), "zstd"),
        (
            docker_archive(ONE, config=json.dumps({"rootfs": {"diff_ids": ["../x"]}}).encode()),
            "names a layer '../x'",
        ),
    ],
)
def test_nonsense_is_refused_in_a_sentence(refused: Callable, archive: bytes, words: str) -> None:
    assert words in refused(archive)


def test_a_bad_layer_names_its_member_and_leaves_nothing(refused: Callable) -> None:
    bad = tar_of({"good": b"1", "../../escape": b"2"})

    said = refused(docker_archive(ONE, bad))

    assert said == (
        f"layer {digest(bad)} cannot be read: member '../../escape' leads out of the layer"
    )
