"""What address planning and allocation refuse, each in a sentence that names the values."""

from collections.abc import Sequence


class IpamError(Exception):
    """Anything this package refuses."""


class _ListedError(IpamError):
    """Several problems of one request, told together."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class InvalidPoolError(_ListedError):
    """A pool that makes no sense."""


class InvalidSubnetError(_ListedError):
    """Subnet settings that make no sense; `problems` holds a sentence for each mistake."""


class OverlapError(_ListedError):
    """Subnets that others use already; `problems` names both prefixes and the other's owner."""


class PoolExhaustedError(IpamError):
    """No free subnet is left in the pools."""


class AddressOutsideError(IpamError):
    """An address that is not of the subnet."""


class AddressTakenError(IpamError):
    """An address that somebody has, or that is kept for a purpose."""


class SubnetExhaustedError(IpamError):
    """No free address is left in a subnet."""
