"""Images: what came in by load and import, and what it is called."""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace

from netd.errors import ConflictError, InternalError, InvalidError, NotFoundError
from netd.events import Events
from netd.imageconfig import created, decoded, with_changes
from netd.model import Container, Image
from netd.store import Store, now
from runtime.errors import ArchiveError, DiskFullError, ReferenceFormatError, RuntimeFault
from runtime.images import ImageStore, LoadedImage
from runtime.reference import parse

log = logging.getLogger(__name__)

Removed = tuple[Literal["Untagged", "Deleted"], str]


class Images:
    """The daemon's images."""

    def __init__(self, store: Store, events: Events, content: ImageStore, spool: Path) -> None:
        """`spool` holds archives while they arrive."""
        self._store, self._events = store, events
        self._content, self._spool = content, spool
        self._lock = asyncio.Lock()

    def image(self, reference: str) -> Image:
        """Return the image meant by an id, a name or a unique prefix of an id."""
        if reference.startswith("sha256:") or _is_prefix(reference):
            try:
                return self._store.images.find(reference.removeprefix("sha256:"))
            except NotFoundError:
                log.debug("%s is no id; looking for the name", reference)
        name = _familiar(reference)
        found = self._store.images.named(name)
        if found is None:
            raise NotFoundError(f"No such image: {name}")
        return found

    def list(self) -> Sequence[Image]:
        """Return all images, oldest first."""
        return [*self._store.images]

    def config(self, image_id: str) -> dict[str, Any]:
        """Return an image's whole configuration as it came in."""
        return self._content.config(image_id)

    def layers(self, container: Container) -> Sequence[Path]:
        """Return the folders of the layers a container stands on, lowest first."""
        image = self._store.images.get(container.image_id)
        if image is None:
            raise NotFoundError(f"No such image: {container.image_id} of {container.name}")
        return self._content.layer_paths(image.layers)

    async def load(self, chunks: AsyncIterator[bytes]) -> Sequence[str]:
        """Take in an archive (docker save, OCI); return the names, or the ids of nameless ones."""
        # Spooled outside the lock: a client that sends no more holds nobody up.
        async with self._spooled(chunks) as archive, self._lock:
            with _translated():
                loaded = await asyncio.to_thread(self._content.load, archive)
            async with self._taken_in(loaded):
                for each in loaded:
                    self._add(each, each.names)
        for each in loaded:
            name = (*each.names, each.id)[0]
            self._events.publish("image", "load", each.id, {"name": name})
        return [name for each in loaded for name in each.names or (each.id,)]

    async def import_(
        self,
        chunks: AsyncIterator[bytes],
        repo: str,
        tag: str,
        changes: Sequence[str],
        message: str,
    ) -> str:
        """Make an image of a root file system's tar; return its id."""
        name = _familiar(f"{repo}:{tag}" if tag else repo) if repo else ""
        config = with_changes(changes)
        async with self._spooled(chunks) as archive, self._lock:
            with _translated():
                loaded = await asyncio.to_thread(
                    lambda: self._content.import_rootfs(
                        archive, config=config, message=message or "Imported from -", created=now()
                    )
                )
            async with self._taken_in([loaded]):
                image = self._add(loaded, (name,) if name else ())
        self._events.publish("image", "import", image.id, {"name": name or image.id})
        return image.id

    async def tag(self, reference: str, repo: str, tag: str) -> None:
        """Give an image a further name; the image that had it loses it."""
        image = self.image(reference)
        name = _familiar(f"{repo}:{tag}" if tag else repo)
        async with self._lock:
            self._name(image, (name,))
        self._events.publish("image", "tag", image.id, {"name": name})

    async def remove(
        self, reference: str, force: bool = False, prune: bool = True
    ) -> Sequence[Removed]:
        """Take a name away, and with the last one the image; containers keep it from going.

        `prune` is accepted for Docker's sake: images here have no untagged parents.
        """
        del prune
        image = self.image(reference)
        by_id = _familiar_or_none(reference) not in image.names
        async with self._lock:
            current = self._store.images.get(image.id)
            if current is None:
                raise NotFoundError(f"No such image: {reference}")
            # No wait between the look at the containers and the image's going: one that is created
            # meanwhile finds it, and is seen, or does not.
            users = [each for each in self._store.containers if each.image_id == image.id]
            if by_id:
                self._check_by_id(current, users, force=force)
            else:
                self._check_by_name(current, reference, users, force=force)
            going = current.names if by_id else (_familiar(reference),)
            return await self._take(current, going, in_use=bool(users))

    async def sweep(self) -> None:
        """Delete what a crash left of images that are not known; repeatable."""
        known = {image.id for image in self._store.images}
        await asyncio.to_thread(self._content.sweep, known)
        for path in self._spool.glob("*"):
            try:
                path.unlink()
            except OSError as error:
                log.error("%s is left: %s", path, error.strerror)  # noqa: TRY400

    def _check_by_id(self, image: Image, users: Sequence[Container], *, force: bool) -> None:
        short = image.id[7:19]
        running = [each for each in users if each.state.running]
        if running:
            raise ConflictError(
                f"conflict: unable to delete {short} (cannot be forced) - image is being used by "
                f"running container {running[0].short_id}"
            )
        if users and not force:
            raise ConflictError(
                f"conflict: unable to delete {short} (must be forced) - image is being used by "
                f"stopped container {users[0].short_id}"
            )
        if len(image.names) > 1 and not force:
            raise ConflictError(
                f"conflict: unable to delete {short} (must be forced) - image is referenced in "
                "multiple repositories"
            )

    def _check_by_name(
        self, image: Image, reference: str, users: Sequence[Container], *, force: bool
    ) -> None:
        last = set(image.names) == {_familiar(reference)}
        if last and users and not force:
            raise ConflictError(
                f'conflict: unable to remove repository reference "{reference}" (must force) '
                f"- container {users[0].short_id} is using its referenced image {image.id[7:19]}"
            )

    async def _take(self, image: Image, names: Sequence[str], *, in_use: bool) -> Sequence[Removed]:
        removed: list[Removed] = [("Untagged", name) for name in names]
        left = tuple(name for name in image.names if name not in names)
        self._store.images.put(replace(image, names=left))
        for name in names:
            self._events.publish("image", "untag", image.id, {"name": name})
        if left or in_use:
            return removed
        self._store.images.remove(image.id)
        still_used = {layer for each in self._store.images for layer in each.layers}
        with _translated():
            await asyncio.to_thread(self._content.remove, image.id, still_used)
        self._events.publish("image", "delete", image.id, {"name": image.id})
        log.info("removed image %s", image.id)
        return [*removed, ("Deleted", image.id)]

    def _add(self, loaded: LoadedImage, names: Sequence[str]) -> Image:
        config, about = decoded(loaded.config)
        known = self._store.images.get(loaded.id)
        image = known or Image(
            id=loaded.id,
            names=(),
            created=created(about),
            tagged=now(),
            size=loaded.size,
            layers=tuple(loaded.diff_ids),
            config=config,
            architecture=about.architecture,
            os=about.os,
            author=about.author or "",
            comment=about.comment or "",
        )
        log.info("took in image %s %s", image.id, " ".join(names))
        return self._name(image, names)

    def _name(self, image: Image, names: Sequence[str]) -> Image:
        for name in names:
            holder = self._store.images.named(name)
            if holder and holder.id != image.id:
                left = tuple(each for each in holder.names if each != name)
                self._store.images.put(replace(holder, names=left))
        named = tuple(dict.fromkeys([*image.names, *names]))
        image = replace(image, names=named, tagged=now() if names else image.tagged)
        self._store.images.put(image)
        return image

    @asynccontextmanager
    async def _taken_in(self, loaded: Sequence[LoadedImage]) -> AsyncIterator[None]:
        """Delete the content of images that do not become known in the block."""
        try:
            for each in loaded:
                decoded(each.config)  # before the first becomes known: all of them or none
            yield
        except BaseException:
            for each in loaded:
                if each.id not in self._store.images:
                    used = {layer for image in self._store.images for layer in image.layers}
                    await asyncio.to_thread(self._content.remove, each.id, used)
            raise

    @asynccontextmanager
    async def _spooled(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[Path]:
        with ExitStack() as undo:
            with self._keeping():
                descriptor, name = tempfile.mkstemp(dir=self._spool)
            undo.callback(Path(name).unlink, missing_ok=True)
            with ExitStack() as closing:
                closing.callback(os.close, descriptor)
                async for chunk in chunks:
                    with self._keeping():
                        await asyncio.to_thread(_write, descriptor, chunk)
            yield Path(name)

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InternalError(
                f"cannot keep the archive in {self._spool}: {error.strerror}"
            ) from error


class _translated:  # noqa: N801 - a context manager that reads as a word
    """Turn the runtime's errors into the daemon's."""

    def __enter__(self) -> None:
        """Nothing to set up."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise the daemon's error for the runtime's."""
        if isinstance(error, ArchiveError):
            raise InvalidError(str(error)) from error
        if isinstance(error, DiskFullError | RuntimeFault):
            raise InternalError(str(error)) from error


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _familiar(reference: str) -> str:
    try:
        return parse(reference).familiar
    except ReferenceFormatError as error:
        raise InvalidError(str(error)) from error


def _familiar_or_none(reference: str) -> str | None:
    try:
        return _familiar(reference)
    except InvalidError:
        return None


def _is_prefix(reference: str) -> bool:
    return bool(reference) and all(character in "0123456789abcdef" for character in reference)
