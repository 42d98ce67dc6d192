"""The keys that detach from a container's terminal: `ctrl-p,ctrl-q`, `ctrl-x,x`, `a`."""

from netd.cli.errors import CliError

DEFAULT_KEYS = b"\x10\x11"
_CONTROL = {chr(code): code - 96 for code in range(97, 123)} | {
    "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31,
}  # fmt: skip


def key_sequence(text: str) -> bytes:
    """Read `--detach-keys`; empty means the default ones."""
    if not text:
        return DEFAULT_KEYS
    out = bytearray()
    for key in text.split(","):
        control = key.lower().removeprefix("ctrl-")
        if key.lower().startswith("ctrl-") and control in _CONTROL:
            out.append(_CONTROL[control])
        elif len(key) == 1 and key.isascii():
            out += key.encode()
        else:
            raise CliError(
                f"--detach-keys: {key!r} is no key",
                "keys are letters and ctrl-LETTER: ctrl-p,ctrl-q",
            )
    return bytes(out)


class Escape:
    """Watches what is typed for the keys; begins of them are held back until it is clear."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0
        self.detached = False

    def typed(self, data: bytes) -> bytes:
        """Give what to pass on; after the whole sequence `detached` is true."""
        out = bytearray()
        for octet in data:
            if octet == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self.detached = True
                    break
                continue
            out += self._keys[: self._matched]
            self._matched = 0
            if octet == self._keys[0] and len(self._keys) > 1:
                self._matched = 1
            else:
                out.append(octet)
        return bytes(out)
