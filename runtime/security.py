"""Docker's --security-opt, taken apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runtime.errors import BundleError

_BOOLEANS = {"": True, "true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class SecurityOptions:
    """What --security-opt asks for."""

    seccomp: str = ""  # empty: the default one; "unconfined", "builtin" or a profile's JSON text
    no_new_privileges: bool = False
    apparmor: str = ""  # empty: none
    system_paths_open: bool = False  # nothing below /proc and /sys is masked or read-only


def security_options(options: Sequence[str]) -> SecurityOptions:
    """Parse them; a later one wins. Raises BundleError naming one that makes no sense."""
    result = SecurityOptions()
    for option in options:
        result = _with(result, option)
    return result


def _with(result: SecurityOptions, option: str) -> SecurityOptions:
    # Docker still takes the colon it had first; a JSON profile holds both.
    separator = min((mark for mark in "=:" if mark in option), key=option.index, default="=")
    name, _, value = option.partition(separator)
    if name == "no-new-privileges" and value.lower() in _BOOLEANS:
        return replace(result, no_new_privileges=_BOOLEANS[value.lower()])
    if name == "seccomp" and value:
        return replace(result, seccomp=value)
    if name == "apparmor" and value:
        return replace(result, apparmor=value)
    if name == "systempaths" and value == "unconfined":
        return replace(result, system_paths_open=True)
    if name == "label":
        return result  # SELinux: not this host's, and harmless to ignore as Docker does
    raise BundleError(f'invalid --security-opt: "{option}"')
