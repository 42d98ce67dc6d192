"""nft(8) in this process: libnftables.so.1, which the distributions ship for such use.

A `Nft` acts in the network namespace in which it was made, whoever calls it later; it is not to be
used from two threads at once. What it cannot do it says in nft's own words.
"""

import ctypes
import json
from functools import cache
from typing import Any

from drivers.contract import DriverError

LIBRARY = "libnftables.so.1"
JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON, nftables/libnftables.h


class NftError(DriverError):
    """What nf_tables refused."""


class Nft:
    """One context of the library."""

    def __init__(self) -> None:
        self._library = _library()
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise DriverError("libnftables: no memory for a context")
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def close(self) -> None:
        """Give the context back; may be repeated."""
        context, self._context = self._context, None
        if context:
            self._library.nft_ctx_free(context)

    def run(self, commands: str, flags: int = 0) -> str:
        """Do all commands in one transaction, or none; return what was listed."""
        self._library.nft_ctx_output_set_flags(self._context, flags)
        failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        output: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
        errors: bytes = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            raise NftError(f"nf_tables refused: {_first_line(errors.decode(errors='replace'))}")
        return output.decode()

    def listed(self, family: str, table: str) -> list[dict[str, Any]]:
        """Return a table's objects as libnftables-json(5) has them; none if it is not there."""
        try:
            text = self.run(f"list table {family} {table}", JSON)
        except NftError as error:
            if "No such file" in str(error):
                return []
            raise
        objects: list[dict[str, Any]] = json.loads(text)["nftables"]
        return [each for each in objects if "metainfo" not in each]


def available() -> str | None:
    """Return None if the library and the kernel's part are there, else a sentence why not."""
    try:
        nft = Nft()
    except DriverError as error:
        return str(error)
    try:
        nft.run("list tables")
    except NftError as error:
        return f"the kernel has no nf_tables: {error}"
    finally:
        nft.close()
    return None


def _first_line(text: str) -> str:
    """Return the sentence of an error; the lines behind it point into the commands."""
    line = next((line for line in text.splitlines() if line.strip()), "no reason was given")
    return line.rpartition("Error: ")[2]


@cache
def _library() -> Any:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise DriverError(f"{LIBRARY} is not installed (apt-get install libnftables1)") from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    for name in ("free", "buffer_output", "buffer_error", "get_output_buffer", "get_error_buffer"):
        getattr(library, f"nft_ctx_{name}").argtypes = [ctypes.c_void_p]
    for name in ("get_output_buffer", "get_error_buffer"):
        getattr(library, f"nft_ctx_{name}").restype = ctypes.c_char_p
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library
