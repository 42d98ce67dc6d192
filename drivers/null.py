"""The null driver: containers have a sandbox of their own with nothing in it but the loopback."""

from drivers.host import HostDriver


class NullDriver(HostDriver):
    """No network at all (see `drivers.contract.Driver`); like the host's there is none to plumb."""

    what = "the network none"
