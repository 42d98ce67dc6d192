"""What a container runs: the user's configuration over its image's, as Docker merges them."""

from collections.abc import Iterable

from msgspec.structs import replace

from netd.errors import InvalidError
from netd.model import Config

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def merged(config: Config, image: Config, short_id: str) -> Config:
    """Return the container's configuration; fields that are not set come from the image.

    An entrypoint of the user's own takes the image's command away; `[""]` takes the image's
    entrypoint away.
    """
    entrypoint, cmd = config.entrypoint, config.cmd
    if not entrypoint:
        entrypoint = image.entrypoint if entrypoint is None else None
        if not cmd and config.entrypoint is None:
            cmd = image.cmd
    elif entrypoint == ("",):
        entrypoint = None
    return replace(
        config,
        cmd=cmd,
        entrypoint=entrypoint,
        env=_environment([*(image.env or [DEFAULT_PATH]), *config.env]),
        user=config.user or image.user,
        working_dir=config.working_dir or image.working_dir,
        hostname=config.hostname or short_id,
        labels={**image.labels, **config.labels},
        exposed_ports=tuple(dict.fromkeys([*config.exposed_ports, *image.exposed_ports])),
        stop_signal=config.stop_signal or image.stop_signal,
    )


def command(config: Config) -> tuple[str, ...]:
    """Return the words of the first process of a merged configuration."""
    words = (*(config.entrypoint or ()), *(config.cmd or ()))
    if not words or not words[0]:
        raise InvalidError("no command specified")
    return words


def _environment(entries: Iterable[str]) -> tuple[str, ...]:
    # The last one of a key wins, at the first one's place; a key without a value unsets it.
    chosen: dict[str, str | None] = {}
    for entry in entries:
        key, equals, _ = entry.partition("=")
        chosen[key] = entry if equals else None
    return tuple(entry for entry in chosen.values() if entry is not None)
