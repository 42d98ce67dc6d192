"""The drivers that are installed: entry points of the group `netd.drivers`."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from drivers.contract import Driver, DriverError

if TYPE_CHECKING:  # it loads pyroute2, which is slow
    from drivers.link import Links

GROUP = "netd.drivers"


def drivers(links: "Links") -> Mapping[str, Driver]:
    """Return a driver of each kind by its name; DriverError if one cannot be loaded."""
    found: dict[str, Driver] = {}
    for entry_point in entry_points(group=GROUP):
        try:
            found[entry_point.name] = entry_point.load()(links)
        except (ImportError, AttributeError) as error:
            where = f"{entry_point.name} = {entry_point.value}"
            raise DriverError(f"network driver {where} cannot be loaded: {error}") from error
    return found
