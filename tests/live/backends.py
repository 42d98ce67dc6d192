"""Both kinds of firewall, for tests that are to hold with each."""

import pytest

BACKENDS = ("iptables", "nftables")
# The module's host once with each.
BOTH_BACKENDS = pytest.mark.parametrize("host", BACKENDS, indirect=True, scope="module")
