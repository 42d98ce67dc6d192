"""Images as inspect, lists and histories give them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from netd.api.docker.shapes import Json
from netd.api.docker.times import rfc3339, unix
from netd.model import Image

Removed = tuple[Literal["Untagged", "Deleted"], str]


def image_answer(image: Image, raw: Mapping[str, object], layers: Sequence[Path]) -> Json:
    """Return an image as `GET /images/{name}/json` gives it; `raw` is its configuration."""
    return {
        "Id": image.id,
        "RepoTags": _tags(image),
        "RepoDigests": _digests(image),
        "Parent": "",
        "Comment": image.comment,
        "Created": rfc3339(image.created),
        "DockerVersion": _text(raw, "docker_version"),
        "Author": image.author,
        "Config": _config(raw),
        "Architecture": image.architecture,
        "Os": image.os,
        "Size": image.size,
        "GraphDriver": _graph_driver(layers),
        "RootFS": {"Type": "layers", "Layers": list(image.layers)},
        "Metadata": {"LastTagTime": rfc3339(image.tagged)},
    }


def image_summary(image: Image) -> Json:
    """Return an image as `GET /images/json` gives it."""
    return {
        "Containers": -1,
        "Created": unix(image.created),
        "Id": image.id,
        "Labels": dict(image.config.labels) or None,
        "ParentId": "",
        "RepoDigests": _digests(image),
        "RepoTags": _tags(image),
        "SharedSize": -1,
        "Size": image.size,
    }


def history_answer(image: Image, raw: Mapping[str, object]) -> list[Json]:
    """Return an image's steps, the last first; one that made the only layer has its size."""
    listed = raw.get("history")
    steps = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    if not steps:
        steps = [{"comment": image.comment, "created_by": ""}]
    filled = [step for step in steps if not step.get("empty_layer")]
    answers: list[Json] = [
        {
            "Comment": _text(step, "comment"),
            "Created": _seconds(_text(step, "created"), image),
            "CreatedBy": _text(step, "created_by"),
            "Id": "<missing>",
            "Size": image.size if len(image.layers) == 1 and [step] == filled else 0,
            "Tags": None,
        }
        for step in reversed(steps)
    ]
    answers[0] |= {"Id": image.id, "Tags": _tags(image) or None}
    return answers


def removed_answer(removed: Sequence[Removed]) -> list[Json]:
    """Return what a removal took away."""
    return [{what: name} for what, name in removed]


def _tags(image: Image) -> list[str]:
    return [name for name in image.names if "@" not in name]


def _digests(image: Image) -> list[str]:
    return [name for name in image.names if "@" in name]


def _config(raw: Mapping[str, object]) -> Json:
    own = raw.get("config")
    empty: Json = {
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False,
        "AttachStderr": False, "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": None,
        "Cmd": None, "Image": "", "Volumes": None, "WorkingDir": "", "Entrypoint": None,
        "OnBuild": None, "Labels": None,
    }  # fmt: skip
    return empty | own if isinstance(own, dict) else empty


def _graph_driver(layers: Sequence[Path]) -> Json:
    data = {"LowerDir": ":".join(str(path) for path in reversed(layers[:-1]))}
    if layers:
        data |= {"UpperDir": str(layers[-1])}
    return {"Data": {k: v for k, v in data.items() if v}, "Name": "overlay2"}


def _text(values: Mapping[str, object], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _seconds(text: str, image: Image) -> int:
    try:
        return unix(datetime.fromisoformat(text))
    except ValueError:
        return unix(image.created)
