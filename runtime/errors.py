"""What can go wrong with images, root file systems and containers, in sentences."""


class RuntimeFault(Exception):  # noqa: N818 (RuntimeError is Python's own, and every other is an Error)
    """The base of all errors this package raises."""


class ArchiveError(RuntimeFault):
    """An image archive that is damaged, incomplete, hostile or of an unknown kind."""


class ReferenceFormatError(RuntimeFault):
    """A text that cannot be the name of an image."""


class ImageStoreError(RuntimeFault):
    """The image store lacks something, or its folder refused something."""


class DiskFullError(RuntimeFault):
    """No space was left in a folder; what had been written there was taken away again."""


class SnapshotError(RuntimeFault):
    """A container's root file system that could not be made, mounted or removed."""


class UserError(RuntimeFault):
    """A user or group that the image does not know, or an impossible id."""


class BundleError(RuntimeFault):
    """A container's settings that make no sense or that this host cannot have."""


class OciError(RuntimeFault):
    """The OCI runtime refused; the sentence is its own."""

    def __init__(self, message: str, exit_code: int = 128) -> None:
        """Keep Docker's exit code for it.

        127: no such command, 126: a command that cannot be run, 128: anything else.
        """
        super().__init__(message)
        self.exit_code = exit_code


class NotRunningError(OciError):
    """The container has no process any more, or the OCI runtime does not know it."""


class MonitorError(RuntimeFault):
    """The monitor of a container (conmon) did not do its part."""
