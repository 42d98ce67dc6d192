"""The keys that detach a terminal: ctrl-p ctrl-q, or what the client chose."""

from netd.errors import InvalidError

DEFAULT_KEYS = b"\x10\x11"
_CONTROLS = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def detach_keys(text: str) -> bytes:
    """Return the octets of "ctrl-p,ctrl-q" or "a,ctrl-x"; empty text: the default ones."""
    if not text:
        return DEFAULT_KEYS
    return bytes(_key(word, text) for word in text.split(","))


class DetachScanner:
    """Looks for the keys in input that comes in pieces."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._seen = b""  # the part of the keys that was typed last, held back

    def scan(self, data: bytes) -> tuple[bytes, bool]:
        """Return what to pass on, and whether the keys were typed; nothing behind them passes."""
        typed = self._seen + data
        found = typed.find(self._keys)
        if found >= 0:
            return typed[:found], True
        held = next(
            n
            for n in range(min(len(self._keys) - 1, len(typed)), -1, -1)
            if typed.endswith(self._keys[:n])
        )
        self._seen = typed[len(typed) - held :]
        return typed[: len(typed) - held], False


def _key(word: str, text: str) -> int:
    if len(word) == 1 and word.isascii():
        return ord(word)
    letter = word.removeprefix("ctrl-")
    if word.startswith("ctrl-") and len(letter) == 1:
        if letter.isascii() and letter.islower():
            return ord(letter) - ord("a") + 1
        if letter in _CONTROLS:
            return _CONTROLS[letter]
    raise InvalidError(
        f"invalid detach keys ({text}): {word!r} is neither a letter nor ctrl-letter"
    )
