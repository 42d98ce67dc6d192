"""What every test may ask for."""

import pytest
from hypothesis import HealthCheck, settings

# Machines are shared: how long an example takes says nothing about the code.
settings.register_profile("netd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("netd")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update",
        action="store_true",
        help="write docs/firewall anew instead of comparing it with what is live",
    )
