"""`/images`."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from netd.errors import ConflictError, InvalidError
from tests.netd.api.conftest import Api, missing_fields, until
from tests.netd.makers import EPOCH, container, image


async def test_load_takes_an_archive_of_any_size_and_says_what_came(api: Api) -> None:
    async def archive() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b"x" * (1 << 20)

    headers = {"Content-Type": "application/x-tar"}

    answer = await api("POST", "/images/load?quiet=1", None, data=archive(), headers=headers)

    assert len(api.daemon.images.received) == 6 << 20
    assert answer.body == (
        b'{"stream":"Loaded image: demo:latest\\n"}\r\n'
        b'{"stream":"Loaded image ID: sha256:' + b"b" * 64 + b'\\n"}\r\n'
    )


async def test_load_refuses_a_broken_archive(api: Api) -> None:
    api.daemon.images.errors["load"] = InvalidError("archive: not a tar")

    answer = await api("POST", "/images/load", None, data=b"junk")

    assert (answer.status, answer.message) == (400, "archive: not a tar")


async def test_an_upload_that_breaks_off_ends_the_load(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    raw = await api.raw("POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 99\r\n\r\nhalf")
    await until(lambda: api.daemon.images.received)

    raw.close()

    await until(lambda: "whose client had gone" in caplog.text)


async def test_import_passes_its_settings(api: Api) -> None:
    query = "fromSrc=-&repo=docker.io/library/x&tag=1&changes=CMD+a&changes=ENV+b%3Dc&message=m"

    answer = await api("POST", f"/images/create?{query}", None, data=b"tar")

    assert answer.body == b'{"status":"sha256:' + b"c" * 64 + b'"}\r\n'
    assert bytes(api.daemon.images.received) == b"tar"
    assert api.daemon.images.calls == [
        ("import", "docker.io/library/x", "1", ("CMD a", "ENV b=c"), "m")
    ]


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("fromImage=x&tag=1", 404, "pull access denied for x:1: netd asks no registries; bring"),
        ("fromImage=x", 404, "pull access denied for x: netd asks no registries; bring"),
        ("fromImage=x&tag=sha256:12", 404, "pull access denied for x@sha256:12: netd asks no"),
        ("fromSrc=http://h/x", 400, "image source 'http://h/x': netd imports what the request"),
        ("", 400, "image source '': netd imports what the request carries, fromSrc=-"),
    ],
)
async def test_nothing_is_pulled(api: Api, query: str, code: int, message: str) -> None:
    answer = await api("POST", f"/images/create?{query}")

    assert answer.status == code
    assert answer.message.startswith(message)


async def test_inspect_has_every_field_that_docker_gives(api: Api) -> None:
    answer = (await api("GET", "/images/demo/json")).json

    assert missing_fields("image", answer) == set()
    assert answer["RepoTags"] == ["demo:latest"]
    assert answer["Config"]["Cmd"] == ["sh"]
    assert answer["RootFS"] == {"Type": "layers", "Layers": ["sha256:" + "1" * 64]}
    assert answer["GraphDriver"]["Data"]["UpperDir"].endswith("/images/layers/" + "1" * 64)


async def test_a_name_with_slashes_is_found(api: Api) -> None:
    api.daemon.images.rows.append(image("host:5000/a/b:1", digit="b"))

    answer = await api("GET", "/images/host:5000/a/b:1/json")

    assert answer.json["RepoTags"] == ["host:5000/a/b:1"]


async def test_digests_are_no_tags(api: Api) -> None:
    digest = "demo@sha256:" + "1" * 64
    api.daemon.images.rows = [image("demo:1", digest)]

    (answer,) = (await api("GET", "/images/json")).json

    assert (answer["RepoTags"], answer["RepoDigests"]) == (["demo:1"], [digest])


async def test_lists_have_every_field_that_docker_gives(api: Api) -> None:
    (answer,) = (await api("GET", "/images/json")).json

    assert missing_fields("image in a list", answer) == set()
    assert answer["Labels"] == {"made": "here"}
    assert answer["Created"] == int(EPOCH.timestamp())


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["none", "repo", "lib", "demo"]),
    ({"reference": ["demo"]}, ["demo"]),
    ({"reference": ["de*:lat*"]}, ["demo"]),
    ({"reference": {"*/*": True}}, ["repo", "lib"]),
    ({"reference": ["*"]}, ["demo"]),
    ({"reference": ["host:5000/re?o"]}, ["repo"]),
    ({"reference": ["[a-d]emo", "org/li[a-b]:1"]}, ["lib", "demo"]),
    ({"dangling": ["true"]}, ["none"]),
    ({"dangling": ["false"]}, ["repo", "lib", "demo"]),
    ({"label": ["made=here"]}, ["demo"]),
    ({"label!": ["made"]}, ["none", "repo", "lib"]),
    ({"before": ["host:5000/repo:1"]}, ["lib", "demo"]),
    ({"since": ["org/lib:1"]}, ["none", "repo"]),
    ({"until": [str(EPOCH.timestamp() + 1)]}, ["demo"]),
]


@pytest.mark.parametrize(("filters", "names"), FILTERS)
async def test_lists_are_filtered(api: Api, filters: dict[str, Any], names: list[str]) -> None:
    rows = api.daemon.images.rows
    for number, (name, digit) in enumerate(
        (("org/lib:1", "b"), ("host:5000/repo:1", "c"), ("", "d"))
    ):
        later = EPOCH + timedelta(hours=number + 1)
        rows.append(image(*([name] if name else []), digit=digit, created=later))
    by_digit = {"a": "demo", "b": "lib", "c": "repo", "d": "none"}

    answer = await api("GET", "/images/json", params={"filters": json.dumps(filters)})

    assert [by_digit[each["Id"][7]] for each in answer.json] == names


@pytest.mark.parametrize(
    ("filters", "code"),
    [
        ({"nonsense": ["x"]}, 400),
        ({"reference": ["[z-a]"]}, 400),
        ({"dangling": ["x"]}, 400),
        ({"before": ["x"]}, 404),
    ],
)
async def test_filters_that_cannot_be_are_refused(
    api: Api, filters: dict[str, Any], code: int
) -> None:
    answer = await api("GET", "/images/json", params={"filters": json.dumps(filters)})

    assert answer.status == code


async def test_history_is_the_images_own(api: Api) -> None:
    api.daemon.images.raw = {"history": [
        {"created": "2026-01-01T00:00:00.123456789Z", "created_by": "ADD", "comment": "c"},
        {"created": "nonsense", "created_by": "CMD", "empty_layer": True},
    ]}  # fmt: skip

    answer = (await api("GET", "/images/demo/history")).json

    assert missing_fields("image history", answer) == set()
    assert [(each["CreatedBy"], each["Size"], each["Id"][:7]) for each in answer] == [
        ("CMD", 0, "sha256:"), ("ADD", 1000, "<missin"),
    ]  # fmt: skip
    assert [each["Created"] for each in answer] == [int(EPOCH.timestamp()), 1767225600]
    assert answer[0]["Tags"] == ["demo:latest"]


async def test_an_image_without_a_history_is_one_step(api: Api) -> None:
    (step,) = (await api("GET", "/images/demo/history")).json

    assert (step["Size"], step["Tags"]) == (1000, ["demo:latest"])


async def test_tag_gives_a_name(api: Api) -> None:
    answer = await api("POST", "/images/demo/tag?repo=docker.io/library/x&tag=2")

    assert (answer.status, answer.body) == (201, b"")
    assert api.daemon.images.calls == [("tag", "demo", "docker.io/library/x", "2")]


async def test_a_tag_needs_a_name(api: Api) -> None:
    answer = await api("POST", "/images/demo/tag")

    assert (answer.status, answer.message) == (400, "invalid reference format: repo is empty")


async def test_remove_says_what_went(api: Api) -> None:
    answer = await api("DELETE", "/images/demo?force=1&noprune=1")

    assert answer.json == [{"Untagged": "demo:latest"}, {"Deleted": "sha256:" + "a" * 64}]
    assert api.daemon.images.calls == [("remove", "demo", True, False)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/images/x/json"),
        ("GET", "/images/x/history"),
        ("POST", "/images/x/tag?repo=y"),
        ("DELETE", "/images/x"),
    ],
)
async def test_an_unknown_image_is_not_found(api: Api, method: str, path: str) -> None:
    answer = await api(method, path)

    assert (answer.status, answer.message) == (404, "No such image: x:latest")


async def test_remove_refuses_what_is_in_use(api: Api) -> None:
    api.daemon.images.errors["remove"] = ConflictError("conflict: in use")

    assert (await api("DELETE", "/images/demo")).status == 409


@pytest.mark.parametrize(
    ("filters", "digits"),
    [("{}", "d"), ('{"dangling":{"false":true}}', "bd"), ('{"until":["2000-01-01"]}', "")],
)
async def test_prune_spares_what_is_used_or_named(api: Api, filters: str, digits: str) -> None:
    api.daemon.images.rows += [image("b:1", digit="b"), image(digit="d")]
    api.daemon.containers.add(container("web"))

    answer = await api("POST", "/images/prune", params={"filters": filters})

    deleted = [
        each["Deleted"][7] for each in answer.json["ImagesDeleted"] or () if "Deleted" in each
    ]
    assert deleted == list(digits)
    assert answer.json["SpaceReclaimed"] == 10 * len(digits)


async def test_prune_goes_on_past_what_others_use(api: Api) -> None:
    api.daemon.images.rows.append(image(digit="d"))
    api.daemon.images.errors["remove"] = ConflictError("used meanwhile")

    answer = await api("POST", "/images/prune")

    assert answer.json == {"ImagesDeleted": None, "SpaceReclaimed": 0}
