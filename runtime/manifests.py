"""Find the images in an archive: Docker's manifest.json, or an OCI image layout.

    manifest.json --> configuration, layers                    docker save
    index.json --> [index -->] manifest --> configuration, layers      OCI, one per platform

Newer `docker save` writes both; manifest.json is then the one read, as Docker does.
"""

import os
import re
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from runtime import reference
from runtime.archive import Archive, ArchivedLayer
from runtime.errors import ArchiveError, ReferenceFormatError

_DEPTH_AT_MOST = 4  # of indexes in indexes
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_ARCHITECTURES = {
    "x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386",
    "i386": "386", "loongarch64": "loong64",
}  # fmt: skip
_VARIANTS = {
    "x86_64": ("", "v1"), "aarch64": ("v8", ""), "armv7l": ("v7", "v6", "v5", ""),
    "armv6l": ("v6", "v5", ""),
}  # fmt: skip
_IMAGE_CONFIGS = (
    "", "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)  # fmt: skip
_NAME, _REF_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"
_ATTESTATION = "vnd.docker.reference.type"


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image in an archive."""

    config: bytes  # the configuration, whose digest is the image's id
    layers: tuple[ArchivedLayer, ...]  # lowest first
    names: tuple[str, ...]  # the short form: demo:latest


class _DockerManifest(Struct, rename="pascal"):
    config: str
    repo_tags: list[str] | None = None
    layers: list[str] | None = None


class _Platform(Struct):
    architecture: str = ""
    os: str = ""
    variant: str = ""


class _Descriptor(Struct, rename="camel"):
    digest: str
    media_type: str = ""
    annotations: dict[str, str] | None = None
    platform: _Platform | None = None

    @property
    def is_index(self) -> bool:
        return ".index." in self.media_type or ".list." in self.media_type


class _Index(Struct):
    manifests: list[_Descriptor]


class _Manifest(Struct):
    config: _Descriptor
    layers: list[_Descriptor]


class _RootFs(Struct):
    diff_ids: list[str] | None = None


class _Config(Struct):
    rootfs: _RootFs


_S = TypeVar("_S")


def images(archive: Archive) -> list[ArchivedImage]:
    """Return the images of an archive that this machine can use, in its order."""
    if "manifest.json" in archive:
        content = archive.document("manifest.json")
        manifests = _decoded(content, list[_DockerManifest], "manifest.json")
        found = [_docker_image(archive, manifest) for manifest in manifests]
    elif "index.json" in archive:
        found = _oci_images(archive)
    else:
        raise ArchiveError(
            "this is no image archive: it has neither a manifest.json nor an index.json"
        )
    if not found:
        raise ArchiveError("the image archive holds no image")
    return found


def _docker_image(archive: Archive, manifest: _DockerManifest) -> ArchivedImage:
    paths = manifest.layers or []
    config = archive.document(manifest.config, _digest_in(manifest.config))
    layers = [
        ArchivedLayer(diff_id, archive.resolved(path), _digest_in(path))
        for diff_id, path in zip(_diff_ids(config, len(paths)), paths, strict=True)
    ]
    return ArchivedImage(config, tuple(layers), _names(manifest.repo_tags or []))


def _oci_images(archive: Archive) -> list[ArchivedImage]:
    index = _decoded(archive.document("index.json"), _Index, "index.json")
    wanted = [entry for entry in index.manifests if not _is_foreign(entry)]
    if index.manifests and not wanted:
        raise _no_platform(index)
    return [
        _oci_image(archive, _manifest(archive, entry, 0), _annotated_names(entry))
        for entry in wanted
    ]


def _manifest(archive: Archive, entry: _Descriptor, depth: int) -> _Manifest:
    """Follow an entry of an index to a manifest, through indexes to this machine's platform."""
    path = _blob(entry)
    content = archive.document(path, entry.digest)
    if not entry.is_index:
        return _decoded(content, _Manifest, path)
    if depth == _DEPTH_AT_MOST:
        raise ArchiveError(f"{path} in the image archive is an index too deep in others")
    index = _decoded(content, _Index, path)
    usable = [inner for inner in index.manifests if not _is_foreign(inner)]
    if not usable:
        raise _no_platform(index)
    return _manifest(archive, min(usable, key=_variant_rank), depth + 1)


def _oci_image(archive: Archive, manifest: _Manifest, names: tuple[str, ...]) -> ArchivedImage:
    if manifest.config.media_type not in _IMAGE_CONFIGS:
        raise ArchiveError(
            f"the archive holds no image but an artifact, {manifest.config.media_type}"
        )
    config = archive.document(_blob(manifest.config), manifest.config.digest)
    layers = [
        ArchivedLayer(diff_id, archive.resolved(_blob(entry)), entry.digest)
        for diff_id, entry in zip(
            _diff_ids(config, len(manifest.layers)), manifest.layers, strict=True
        )
    ]
    return ArchivedImage(config, tuple(layers), names)


def _diff_ids(config: bytes, layers: int) -> list[str]:
    what = "an image's configuration"
    _decoded(config, dict[str, Any], what)  # all of it must make sense, not only the layers
    diff_ids = _decoded(config, _Config, what).rootfs.diff_ids or []
    if len(diff_ids) != layers:
        raise ArchiveError(
            f"an image's configuration names {len(diff_ids)} layers, its manifest {layers}"
        )
    for diff_id in diff_ids:
        if not _DIGEST.fullmatch(diff_id):
            raise ArchiveError(f"an image's configuration names a layer {diff_id!r}")
    return diff_ids


def _names(texts: list[str]) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(reference.parse(text).familiar for text in texts))
    except ReferenceFormatError as error:
        raise ArchiveError(f"the image archive gives an impossible name: {error}") from error


def _annotated_names(entry: _Descriptor) -> tuple[str, ...]:
    annotations = entry.annotations or {}
    if name := annotations.get(_NAME):
        return _names([name])
    # Often a mere tag, which names nothing.
    name = annotations.get(_REF_NAME, "")
    return _names([name]) if set(name) & set("/:") else ()


def _is_foreign(entry: _Descriptor) -> bool:
    """Say whether an entry is for another platform, or no image at all."""
    if _ATTESTATION in (entry.annotations or {}):
        return True
    return entry.platform is not None and (
        (entry.platform.os, entry.platform.architecture) != ("linux", architecture())
    )


def _variant_rank(entry: _Descriptor) -> int:
    variants = _VARIANTS.get(os.uname().machine, ("",))
    variant = entry.platform.variant if entry.platform else ""
    return variants.index(variant) if variant in variants else len(variants)


def _no_platform(index: _Index) -> ArchiveError:
    platforms = [entry.platform for entry in index.manifests if entry.platform]
    names = sorted({f"{item.os}/{item.architecture}" for item in platforms} - {"unknown/unknown"})
    return ArchiveError(
        f"the archive holds no image for linux/{architecture()}, but {', '.join(names) or 'none'}"
    )


def architecture() -> str:
    """Return this machine's architecture in the words of images: amd64."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def _blob(entry: _Descriptor) -> str:
    if not _DIGEST.fullmatch(entry.digest):
        raise ArchiveError(f"the image archive names a blob {entry.digest!r}; only sha256 is known")
    return f"blobs/{entry.digest.replace(':', '/')}"


def _digest_in(path: str) -> str:
    """Return the digest that a path of newer docker archives promises, or an empty text."""
    matched = _BLOB.fullmatch(path)
    return f"sha256:{matched[1]}" if matched else ""


def _decoded(content: bytes, kind: type[_S], what: str) -> _S:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArchiveError(f"{what} of the image archive makes no sense: {error}") from error
