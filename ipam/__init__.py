"""Address pools, subnets and leases for networks: pure, no I/O.

`plan` turns what a user typed into the subnets of a network; `Leases` gives the addresses of one
subnet to owners and takes them back.
"""

from ipam.errors import (
    AddressOutsideError,
    AddressTakenError,
    InvalidPoolError,
    InvalidSubnetError,
    IpamError,
    OverlapError,
    PoolExhaustedError,
    SubnetExhaustedError,
)
from ipam.leases import Leases
from ipam.planning import plan
from ipam.pools import DEFAULT_POOLS, Pool, pool, unique_local_pool
from ipam.prefixes import Address, Prefix
from ipam.subnets import Subnet, SubnetRequest

__all__ = [
    "plan", "Leases", "Subnet", "SubnetRequest",
    "Pool", "DEFAULT_POOLS", "pool", "unique_local_pool", "Address", "Prefix",
    "IpamError", "InvalidSubnetError", "OverlapError", "PoolExhaustedError", "InvalidPoolError",
    "AddressTakenError", "AddressOutsideError", "SubnetExhaustedError",
]  # fmt: skip
