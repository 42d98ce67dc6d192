"""An image archive on disk: a tar of a few named files, found by name and read in any order."""

import hashlib
import io
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from runtime import compression
from runtime.errors import ArchiveError
from runtime.layers import inside, unpack
from runtime.tarstream import TarStream

_WHAT = "image archive"
_DOCUMENT_AT_MOST = 16 << 20  # octets of a manifest or a configuration
_LINKS_AT_MOST = 10


@dataclass(frozen=True, slots=True)
class ArchivedLayer:
    """A layer's tar in an archive."""

    diff_id: str  # what the image's configuration says of the tar's content
    path: str
    digest: str = ""  # of the blob, compressed as it may be; empty: nothing is said of it


class Archive:
    """The files of an opened image archive."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._files: dict[str, tuple[int, int]] = {}  # offset and size
        self._links: dict[str, str] = {}
        self._index()

    def __contains__(self, path: str) -> bool:
        """Say whether there is a file of this name."""
        try:
            self.resolved(path)
        except ArchiveError:
            return False
        return True

    def document(self, path: str, digest: str = "") -> bytes:
        """Return a small file, checked against its digest if that is given."""
        offset, size = self._files[self.resolved(path)]
        if size > _DOCUMENT_AT_MOST:
            raise ArchiveError(f"{path} in the image archive is too large: {size} octets")
        self._file.seek(offset)
        content = self._file.read(size)
        found = "sha256:" + hashlib.sha256(content).hexdigest()
        if digest and found != digest:
            raise ArchiveError(f"{path} in the image archive has the digest {found}")
        return content

    def unpack(self, layer: ArchivedLayer, folder: Path) -> None:
        """Unpack a layer into an empty folder and check that it is the one it is said to be."""
        what = f"layer {layer.diff_id}"
        offset, size = self._files[self.resolved(layer.path)]
        self._file.seek(offset)
        blob_digest = hashlib.sha256() if layer.digest else None
        blob = compression.Digesting(self._file, size, blob_digest)
        diff_id = unpack_stream(blob, folder, what)
        if diff_id != layer.diff_id:
            raise ArchiveError(f"{what} is damaged: its content has the digest {diff_id}")
        if blob_digest and f"sha256:{blob_digest.hexdigest()}" != layer.digest:
            raise ArchiveError(f"{layer.path} in the image archive has another digest")

    def resolved(self, path: str) -> str:
        """Return the name of the file a name stands for, through links in the archive."""
        name = inside(path)
        for _ in range(_LINKS_AT_MOST):
            if name is None or name not in self._links:
                break
            name = inside(self._links[name])
        if name is None or name not in self._files:
            raise ArchiveError(f"the image archive has no {path}")
        return name

    def _index(self) -> None:
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)

        def skip(size: int) -> int:
            before = self._file.tell()
            return min(self._file.seek(size, os.SEEK_CUR), end) - before

        tar = TarStream(self._file, _WHAT, skip)
        for member in tar:
            name = inside(member.name)
            if not name:
                continue
            self._files.pop(name, None)
            self._links.pop(name, None)
            if member.kind == "file" and member.sparse is None:
                self._files[name] = (tar.position, member.stored)
            elif member.kind == "symlink":
                self._links[name] = posixpath.join(posixpath.dirname(name), member.target)
            elif member.kind == "hardlink":
                self._links[name] = member.target


@contextmanager
def opened(path: Path, scratch: Path) -> Iterator[Archive]:
    """Open an image archive; a compressed one is written out to a nameless file in `scratch`."""
    with ExitStack() as stack:
        file: BinaryIO = stack.enter_context(path.open("rb"))
        magic = file.read(compression.MAGIC_OCTETS)
        file.seek(0)
        if not magic:
            raise ArchiveError(f"the {_WHAT} is empty")
        if compression.is_compressed(magic):
            plain = stack.enter_context(tempfile.TemporaryFile(dir=scratch))
            with compression.damage_named(_WHAT):
                source = compression.decompressed(file, magic, _WHAT)
                shutil.copyfileobj(source, plain, compression.BUFFER)
            file = cast("BinaryIO", plain)
        yield Archive(file)


def unpack_stream(raw: io.RawIOBase, folder: Path, what: str) -> str:
    """Unpack a layer, compressed or not, into an empty folder; its diff id.

    All is read up to the end of `raw`, as what follows the tar's own end counts in the digest.
    """
    digest = hashlib.sha256()
    blob = io.BufferedReader(raw, compression.BUFFER)
    with compression.damage_named(what):
        magic = blob.peek(compression.MAGIC_OCTETS)
        plain = compression.decompressed(cast("BinaryIO", blob), magic, what)
        content = io.BufferedReader(compression.Digesting(plain, None, digest), compression.BUFFER)
        unpack(TarStream(content, what), folder)
        for source in (content, blob):
            while source.read(compression.BUFFER):
                pass
    return f"sha256:{digest.hexdigest()}"
