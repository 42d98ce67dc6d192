"""Names of images, as Docker understands them.

A short name stands for a long one: `demo` is `docker.io/library/demo:latest`. What comes before
the first slash is a registry if it has a dot, a colon or a capital in it, or is `localhost`.
"""

import re
from dataclasses import dataclass, replace

from runtime.errors import ReferenceFormatError

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_OFFICIAL = "library/"
_NAME_AT_MOST = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of an image, complete."""

    domain: str  # the registry: "docker.io", "host:5000"
    path: str  # "library/demo"
    tag: str = ""  # may be empty beside a digest
    digest: str = ""  # "sha256:...", or empty

    @property
    def repository(self) -> str:
        """The full name without tag and digest: docker.io/library/demo."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """The shortest name that means the same, without tag and digest: demo."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        short = self.path.removeprefix(_OFFICIAL)
        # "library/a/b" may not be shortened: "a/b" is somebody else's.
        return self.path if "/" in short else short

    @property
    def familiar(self) -> str:
        """The shortest form that means the same: demo:latest."""
        return self.familiar_repository + self._suffix()

    def tagged(self, tag: str) -> "Reference":
        """Return the same repository with another tag and no digest."""
        if not _TAG.fullmatch(tag):
            raise ReferenceFormatError(f"invalid tag format: {tag!r}")
        return replace(self, tag=tag, digest="")

    def __str__(self) -> str:
        """Return the full form: docker.io/library/demo:latest."""
        return self.repository + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """Return the reference a text stands for; without a tag and digest, `latest` is meant."""
    if _ID.fullmatch(text):
        raise ReferenceFormatError(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    rest, _, digest = text.partition("@")
    domain, rest = _split_domain(rest)
    path, _, tag = rest.partition(":")
    _check(text, domain, path)
    if ("@" in text and not _DIGEST.fullmatch(digest)) or (":" in rest and not _TAG.fullmatch(tag)):
        raise ReferenceFormatError(f"invalid reference format: {text!r}")
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = _OFFICIAL + path
    if len(domain) + 1 + len(path) > _NAME_AT_MOST:
        raise ReferenceFormatError(
            f"invalid reference format: repository name must not be more than "
            f"{_NAME_AT_MOST} characters: {text[:40]!r}..."
        )
    return Reference(domain, path, tag or ("" if digest else DEFAULT_TAG), digest)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    registry = slash and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    if not registry:
        return DEFAULT_DOMAIN, name
    return (DEFAULT_DOMAIN if first == "index.docker.io" else first), rest


def _check(text: str, domain: str, path: str) -> None:
    if path != path.lower():
        raise ReferenceFormatError(
            f"invalid reference format: repository name ({path}) must be lowercase"
        )
    if not _PATH.fullmatch(path) or not _DOMAIN.fullmatch(domain):
        raise ReferenceFormatError(f"invalid reference format: {text!r}")
