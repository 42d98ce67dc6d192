"""The drivers that are installed."""

from typing import Any, cast

from drivers.bridge import BridgeDriver
from drivers.host import HostDriver
from drivers.null import NullDriver
from drivers.registry import drivers


def test_netds_own_drivers_are_found_by_their_names() -> None:
    found = drivers(cast("Any", None))

    assert {name: type(found[name]) for name in ("bridge", "host", "null")} == {
        "bridge": BridgeDriver,
        "host": HostDriver,
        "null": NullDriver,
    }
