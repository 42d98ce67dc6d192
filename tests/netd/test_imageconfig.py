"""What an image says of itself."""

import pytest
from makers import image

from netd.errors import InvalidError
from netd.imageconfig import check_platform


@pytest.mark.parametrize("wanted", ["", "linux", "linux/amd64", "Linux/x86_64", "linux/amd64/v2"])
def test_an_image_is_taken_for_its_own_platform(wanted: str) -> None:
    check_platform(wanted, image("demo:1"))


@pytest.mark.parametrize("wanted", ["windows/amd64", "linux/arm64", "linux/aarch64", "bogus"])
def test_an_image_is_refused_for_another_platform(wanted: str) -> None:
    with pytest.raises(InvalidError, match=f"image demo:1 .*{wanted}, actual: linux/amd64"):
        check_platform(wanted, image("demo:1"))
