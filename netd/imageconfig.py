"""The configuration inside an image (OCI image specification, config.md) as the model's values."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from netd.errors import InvalidError
from netd.model import Config, Image

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class _Config(Struct, rename="pascal"):
    cmd: list[str] | None = None
    entrypoint: list[str] | None = None
    env: list[str] | None = None
    user: str | None = None
    working_dir: str | None = None
    labels: dict[str, str] | None = None
    exposed_ports: dict[str, dict[str, str]] | None = None
    stop_signal: str | None = None


class _Image(Struct):
    config: _Config | None = None
    created: str | None = None
    architecture: str = ""
    os: str = "linux"
    author: str | None = None
    comment: str | None = None


def decoded(raw: Mapping[str, Any]) -> tuple[Config, _Image]:
    """Return an image's run configuration and the rest of what it says of itself."""
    try:
        image = msgspec.convert(raw, _Image)
    except msgspec.ValidationError as error:
        raise InvalidError(f"the image's configuration is malformed: {error}") from error
    own = image.config or _Config()
    config = Config(
        image="",
        cmd=tuple(own.cmd) if own.cmd else None,
        entrypoint=tuple(own.entrypoint) if own.entrypoint else None,
        env=tuple(own.env or ()),
        user=own.user or "",
        working_dir=own.working_dir or "",
        labels=own.labels or {},
        exposed_ports=tuple(own.exposed_ports or ()),
        stop_signal=own.stop_signal or "",
    )
    return config, image


def check_platform(wanted: str, image: Image) -> None:
    """Raise InvalidError when an image is for another platform than the user wants.

    `wanted` is "os", "os/architecture" or "os/architecture/variant"; empty: any.
    """
    os, _, rest = wanted.lower().partition("/")
    machine = rest.partition("/")[0]
    architecture = _ARCHITECTURES.get(machine, machine)
    if (os or image.os, architecture or image.architecture) != (image.os, image.architecture):
        raise InvalidError(
            f"image {', '.join(image.names) or image.id} does not match the specified platform: "
            f"wanted {wanted}, actual: {image.os}/{image.architecture}"
        )


def created(image: _Image) -> datetime:
    """Return when the image says it was made; 1970 when it does not say."""
    text = (image.created or "").replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def with_changes(changes: Sequence[str]) -> dict[str, object]:
    """Return the Config that Dockerfile lines (`docker import --change`) describe."""
    config = Config(image="")
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        config = _changed(config, word.upper(), rest.strip(), change)
    return {
        "Cmd": config.cmd,
        "Entrypoint": config.entrypoint,
        "Env": config.env,
        "User": config.user,
        "WorkingDir": config.working_dir,
        "Labels": config.labels or None,
        "ExposedPorts": {port: {} for port in config.exposed_ports} or None,
        "StopSignal": config.stop_signal,
    }


def _changed(config: Config, word: str, rest: str, change: str) -> Config:
    if not rest:
        raise InvalidError(f"change {change!r} lacks a value")
    if word in ("ENV", "LABEL"):
        pairs = _pairs(rest, change)
        if word == "ENV":
            return replace(config, env=(*config.env, *pairs))
        labels = dict(pair.split("=", 1) for pair in pairs)
        return replace(config, labels={**config.labels, **labels})
    changes: dict[str, Callable[[], Config]] = {
        "CMD": lambda: replace(config, cmd=_words(rest)),
        "ENTRYPOINT": lambda: replace(config, entrypoint=_words(rest)),
        "USER": lambda: replace(config, user=rest),
        "WORKDIR": lambda: replace(config, working_dir=rest),
        "STOPSIGNAL": lambda: replace(config, stop_signal=rest),
        "EXPOSE": lambda: replace(
            config,
            exposed_ports=(
                *config.exposed_ports,
                *(port if "/" in port else f"{port}/tcp" for port in rest.split()),
            ),
        ),
    }
    if word not in changes:
        raise InvalidError(f"{word} is not a change that import knows: {change!r}")
    return changes[word]()


def _words(text: str) -> tuple[str, ...]:
    if text.startswith("["):
        try:
            return tuple(msgspec.json.decode(text, type=list[str]))
        except msgspec.DecodeError as error:
            raise InvalidError(f"not a JSON list of words: {text!r}") from error
    return ("/bin/sh", "-c", text)


def _pairs(text: str, change: str) -> list[str]:
    if "=" not in text.split(maxsplit=1)[0]:
        key, _, value = text.partition(" ")
        return [f"{key}={value.strip()}"]
    try:
        pairs = shlex.split(text)
    except ValueError as error:
        raise InvalidError(f"change {change!r}: {error}") from error
    if any("=" not in pair for pair in pairs):
        raise InvalidError(f"change {change!r} has a word that is no KEY=VALUE")
    return pairs
