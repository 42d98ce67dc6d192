import pytest

from netd.errors import InvalidError
from netd.merge import DEFAULT_PATH, command, merged
from netd.model import Config

IMAGE = Config(
    image="", cmd=("serve",), entrypoint=("/entry",), env=("PATH=/bin", "A=1"), user="demo",
    working_dir="/srv", labels={"a": "image", "b": "image"}, stop_signal="QUIT",
    exposed_ports=("80/tcp",),
)  # fmt: skip


def words(**config: object) -> tuple[str, ...]:
    return command(merged(Config(image="demo", **config), IMAGE, "abc"))


def test_without_a_command_the_image_decides() -> None:
    assert words() == ("/entry", "serve")


def test_a_command_replaces_the_images_and_keeps_its_entrypoint() -> None:
    assert words(cmd=("other",)) == ("/entry", "other")


def test_an_entrypoint_takes_the_images_command_away() -> None:
    assert words(entrypoint=("/own",)) == ("/own",)


def test_an_empty_entrypoint_takes_the_images_entrypoint_away() -> None:
    assert words(entrypoint=("",), cmd=("ls",)) == ("ls",)


def test_nothing_to_run_is_refused() -> None:
    with pytest.raises(InvalidError, match="no command specified"):
        command(merged(Config(image="demo"), Config(image=""), "abc"))


def test_the_users_variables_win_and_one_without_a_value_unsets() -> None:
    config = merged(Config(image="demo", env=("A=2", "B=3", "PATH")), IMAGE, "abc")

    assert config.env == ("A=2", "B=3")


def test_an_image_without_variables_gets_a_path() -> None:
    assert merged(Config(image="demo"), Config(image=""), "abc").env == (DEFAULT_PATH,)


def test_settings_come_from_the_image_unless_the_user_gave_them() -> None:
    config = merged(Config(image="demo", user="root", labels={"a": "mine"}), IMAGE, "abc")

    assert (config.user, config.working_dir, config.stop_signal) == ("root", "/srv", "QUIT")
    assert config.labels == {"a": "mine", "b": "image"}
    assert (config.hostname, config.exposed_ports) == ("abc", ("80/tcp",))
