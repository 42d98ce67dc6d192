"""Write the demo image, a docker-archive with two layers, from the machine's own busybox.

Nothing is downloaded: /bin/busybox (Debian's busybox-static) is the whole system. The first
layer holds busybox and its applets as links, the second a page for httpd. The same busybox gives
the same bytes, so the image's id is stable.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
NAME = "demo:latest"
# The age of what is inside, which is the same each time.
CREATED = datetime.fromtimestamp(int(BUSYBOX.stat().st_mtime), UTC).isoformat()
PAGE = b"<h1>Hello from netd</h1>\n"
FOLDERS = {"bin": 0o755, "sbin": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755, "etc": 0o755,
           "root": 0o700, "tmp": 0o1777, "var": 0o755, "home": 0o755}  # fmt: skip
FILES = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    b"demo:x:1000:1000:demo:/home:/bin/sh\n",
    "etc/group": b"root:x:0:\nnobody:x:65534:\ndemo:x:1000:\nwheel:x:10:demo\n",
    "etc/os-release": b'ID=demo\nNAME="netd demo image"\n',
}


def main() -> None:
    """Build the archive at the path given as the only argument."""
    target = Path(sys.argv[1])
    layers = [_tar(_system()), _tar({"www/index.html": (0o644, PAGE)})]
    partial = target.with_suffix(".partial")
    partial.write_bytes(archive(layers, NAME))
    partial.replace(target)


def archive(layers: list[bytes], name: str, **config: object) -> bytes:
    """Return a docker-archive of uncompressed layer tars, named `name`.

    Keywords are set in the image's Config over the demo image's own.
    """
    digests = [hashlib.sha256(layer).hexdigest() for layer in layers]
    image = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(
            os.uname().machine, os.uname().machine
        ),
        "os": "linux",
        "created": CREATED,
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["sh"],
            "WorkingDir": "/",
            **config,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created": CREATED, "created_by": "labs/image/build.py"} for _ in layers],
    }
    config_bytes = json.dumps(image, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(config_bytes).hexdigest()}.json"
    paths = [f"{digest}/layer.tar" for digest in digests]
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": paths}]
    members = {config_name: (0o644, config_bytes)}
    members |= {path: (0o644, layer) for path, layer in zip(paths, layers, strict=True)}
    members["manifest.json"] = (0o644, json.dumps(manifest).encode())
    return _tar(members)


def _system() -> dict[str, tuple[int, bytes | str | None]]:
    members: dict[str, tuple[int, bytes | str | None]] = {
        name: (mode, None) for name, mode in FOLDERS.items()
    }
    members["bin/busybox"] = (0o755, BUSYBOX.read_bytes())
    listed = subprocess.run([BUSYBOX, "--list-full"], check=True, capture_output=True, text=True)
    for applet in sorted(listed.stdout.split()):
        if applet != "bin/busybox" and "/" in applet and applet != "linuxrc":
            members[applet] = (0o777, "/bin/busybox")
    members |= {name: (0o644, content) for name, content in FILES.items()}
    return members


def _tar(
    members: "dict[str, tuple[int, bytes]] | dict[str, tuple[int, bytes | str | None]]",
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, (mode, content) in members.items():
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            if content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


if __name__ == "__main__":
    main()
