"""Where the layers of images are, for clients that want to look."""

from pathlib import Path

from netd.api.services import DaemonServices
from netd.model import Image


def layer_paths(daemon: DaemonServices, image: Image) -> list[Path]:
    """Return the unpacked layers of an image, lowest first."""
    root = daemon.config.data_root / "images" / "layers"
    return [root / layer.removeprefix("sha256:") for layer in image.layers]
