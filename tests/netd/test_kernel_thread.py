"""The network thread's refusals, as its callers see them."""

from collections.abc import Callable

import pytest

from drivers.contract import DriverError
from netd.errors import InternalError
from netd.kernel import Kernel


def raising(error: Exception) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DriverError("interface eth0: file exists"), "interface eth0: file exists"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (
            ExceptionGroup("taking down x", [DriverError("a is busy"), OSError(5, "b")]),
            r"taking down x: a is busy; \[Errno 5\] b",
        ),
    ],
)
async def test_what_the_kernel_refuses_is_told_in_a_sentence(
    error: Exception, sentence: str
) -> None:
    kernel = Kernel()

    with pytest.raises(InternalError, match=sentence):
        await kernel.run(raising(error))

    await kernel.close()


async def test_a_mistake_of_ours_stays_what_it_is() -> None:
    kernel = Kernel()

    with pytest.raises(KeyError):
        await kernel.run(raising(KeyError("x")))
    with pytest.raises(ExceptionGroup):
        await kernel.run(raising(ExceptionGroup("x", [DriverError("a"), KeyError("b")])))

    await kernel.close()
