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
