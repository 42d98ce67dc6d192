"""The image store: configurations and unpacked layers, each under the digest of its content.

blobs/sha256/<hex>   an image's configuration; its digest is the image's id
layers/<hex>/        a layer by its diff id, unpacked as a lower folder for overlayfs
partial/<random>/    what is being made; moved into place when it is whole and on disk
"""

import errno
import hashlib
import json
import logging
import os
import re
import secrets
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from runtime import compression, syscalls
from runtime.archive import opened, unpack_stream
from runtime.errors import ArchiveError, DiskFullError, ImageStoreError
from runtime.manifests import architecture, images
from runtime.trees import folder_size, remove_tree

log = logging.getLogger(__name__)

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image that is in the store."""

    id: str  # sha256:..., the digest of its configuration
    names: tuple[str, ...]  # the short form: demo:latest
    config: dict[str, Any]
    diff_ids: tuple[str, ...]  # its layers, lowest first
    size: int  # octets of its layers' files


class ImageStore:
    """A folder of images.

    Verbs may be called from several threads and wait for each other. `remove` and `sweep` may
    not come between a load and the moment its caller has noted the image down, as they would
    take it away again.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._blobs = root / "blobs" / "sha256"
        self._layers = root / "layers"
        self._partial = root / "partial"
        # A load counts on the layers that were there when it began.
        self._one_at_a_time = threading.Lock()
        for folder in (root, self._blobs, self._layers, self._partial):
            # Set-uid programs of images are not for the machine's users to run.
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self, archive: Path) -> list[LoadedImage]:
        """Take in the images of a docker-archive or OCI archive, compressed or not.

        May be repeated. On an error nothing is left of it. ArchiveError, DiskFullError.
        """
        with self._verb(), self._work_folder() as work, opened(archive, work) as contents:
            found = images(contents)
            staged: dict[str, Path] = {}
            for layer in (layer for image in found for layer in image.layers):
                if layer.diff_id not in staged and not self._layer(layer.diff_id).exists():
                    staged[layer.diff_id] = _new_folder(work)
                    contents.unpack(layer, staged[layer.diff_id])
            self._publish(staged, [image.config for image in found], work)
            loaded: dict[str, LoadedImage] = {}
            for image in found:
                now = self._loaded(image.config, image.names)
                before = loaded.get(now.id)
                names = (*before.names, *now.names) if before else now.names
                loaded[now.id] = LoadedImage(
                    now.id, tuple(dict.fromkeys(names)), now.config, now.diff_ids, now.size
                )
            return list(loaded.values())

    def import_rootfs(
        self, archive: Path, *, config: Mapping[str, Any], message: str, created: datetime
    ) -> LoadedImage:
        """Take in a tar of a root file system as an image of one layer, compressed or not.

        `config` is what `docker inspect` shows as Config. On an error nothing is left of it.
        """
        with self._verb(), self._work_folder() as work, archive.open("rb") as file:
            folder = _new_folder(work)
            raw = compression.Digesting(file, None, None)
            diff_id = unpack_stream(raw, folder, "the root file system")
            if not raw.count:
                raise ArchiveError("the root file system is empty")
            image = _imported_config(diff_id, config, message, created)
            staged = {} if self._layer(diff_id).exists() else {diff_id: folder}
            self._publish(staged, [image], work)
            return self._loaded(image, ())

    def layer_paths(self, diff_ids: Sequence[str]) -> list[Path]:
        """Return the folders of layers, in the same order."""
        paths = [self._layer(diff_id) for diff_id in diff_ids]
        for diff_id, path in zip(diff_ids, paths, strict=True):
            if not path.is_dir():
                raise ImageStoreError(f"the image store lacks layer {diff_id}")
        return paths

    def config(self, image_id: str) -> dict[str, Any]:
        """Return an image's configuration as its archive had it."""
        try:
            return cast("dict[str, Any]", json.loads(self._blob(image_id).read_bytes()))
        except (OSError, ValueError) as error:
            raise ImageStoreError(f"the image store lacks image {image_id}: {error}") from error

    def remove(self, image_id: str, layers_still_used: Collection[str]) -> None:
        """Delete an image's configuration and its layers but those still used; repeatable."""
        with self._verb():
            if not self._blob(image_id).exists():
                return
            for diff_id in _diff_ids(self.config(image_id)):
                if diff_id not in layers_still_used:
                    self._discard(self._layer(diff_id))
            self._blob(image_id).unlink(missing_ok=True)

    def sweep(self, image_ids: Collection[str]) -> None:
        """Delete all that none of these images uses, and whatever a crash left half made."""
        with self._verb():
            used = {path for image_id in image_ids for path in self._paths(image_id)}
            for folder in (self._blobs, self._layers):
                for path in set(folder.iterdir()) - used:
                    log.warning("removing %s, which no image uses", path)
                    self._discard(path)
            for path in self._partial.iterdir():
                remove_tree(path)

    def _paths(self, image_id: str) -> list[Path]:
        try:
            diff_ids = _diff_ids(self.config(image_id))
        except ImageStoreError as error:
            log.warning("image %s cannot be used: %s", image_id, error)
            diff_ids = ()
        return [self._blob(image_id), *(self._layer(diff_id) for diff_id in diff_ids)]

    def _layer(self, diff_id: str) -> Path:
        return self._layers / _hex(diff_id)

    def _blob(self, image_id: str) -> Path:
        return self._blobs / _hex(image_id)

    def _loaded(self, config: bytes, names: tuple[str, ...]) -> LoadedImage:
        content = json.loads(config)
        diff_ids = _diff_ids(content)
        size = sum(folder_size(self._layer(diff_id)) for diff_id in diff_ids)
        return LoadedImage(_digest(config), names, content, diff_ids, size)

    def _publish(self, staged: Mapping[str, Path], configs: Sequence[bytes], work: Path) -> None:
        """Move layers and configurations into place once they are on disk; all or none."""
        with ExitStack() as undo:
            blobs = {_digest(config): config for config in configs}
            for image_id, config in blobs.items():
                (work / _hex(image_id)).write_bytes(config)
            # Renames can reach the disk before contents do: an image with empty files.
            _sync(work)
            for diff_id, folder in staged.items():
                folder.rename(self._layer(diff_id))
                undo.callback(self._discard, self._layer(diff_id))
            for image_id in blobs:
                if not self._blob(image_id).exists():
                    (work / _hex(image_id)).rename(self._blob(image_id))
                    undo.callback(self._blob(image_id).unlink, missing_ok=True)
            for folder in (self._layers, self._blobs):
                _sync(folder, entries_only=True)
            undo.pop_all()

    def _discard(self, path: Path) -> None:
        """Remove a file or folder so that no one ever sees half of it."""
        doomed = self._partial / secrets.token_hex(8)
        with suppress(FileNotFoundError):
            path.rename(doomed)
        remove_tree(doomed)

    @contextmanager
    def _work_folder(self) -> Iterator[Path]:
        folder = _new_folder(self._partial)
        try:
            yield folder
        finally:
            remove_tree(folder)

    @contextmanager
    def _verb(self) -> Iterator[None]:
        try:
            with self._one_at_a_time:
                yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFullError(f"no space left in {self._root}") from error
            raise ImageStoreError(f"the image store {self._root}: {error}") from error


def _imported_config(
    diff_id: str, config: Mapping[str, Any], message: str, created: datetime
) -> bytes:
    moment = created.astimezone(UTC).isoformat().replace("+00:00", "Z")
    image = {
        "architecture": architecture(),
        "os": "linux",
        "created": moment,
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": moment, "comment": message}],
    }
    return json.dumps(image, sort_keys=True).encode()


def _diff_ids(config: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(config["rootfs"].get("diff_ids") or ())


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _hex(digest: str) -> str:
    matched = _DIGEST.fullmatch(digest)
    if not matched:
        raise ImageStoreError(f"{digest!r} is no id of an image or a layer")
    return matched[1]


def _new_folder(parent: Path) -> Path:
    """Make a folder with a free name; open to all, as the root of a file system is."""
    folder = parent / secrets.token_hex(8)
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def _sync(folder: Path, *, entries_only: bool = False) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if entries_only:
            os.fsync(descriptor)
        else:
            syscalls.syncfs(descriptor)
    finally:
        os.close(descriptor)
