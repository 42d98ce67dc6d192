"""Which command stands where: the table behind `netd --help`."""

from netd.cli.group import GroupEntry, Section

_CONTAINER_WORK = {
    "run": "netd.cli.run:run",
    "create": "netd.cli.run:create",
    "start": "netd.cli.lifecycle:start",
    "stop": "netd.cli.lifecycle:stop",
    "restart": "netd.cli.lifecycle:restart",
    "kill": "netd.cli.lifecycle:kill",
    "wait": "netd.cli.lifecycle:wait",
    "rm": "netd.cli.lifecycle:rm",
    "attach": "netd.cli.attach:attach",
    "exec": "netd.cli.execs:exec_",
    "logs": "netd.cli.logs:logs",
    "port": "netd.cli.ports:port",
}
_CONTAINERS = {"ps": "netd.cli.containers:ps"} | _CONTAINER_WORK
_NETWORK = {
    "create": "netd.cli.networks:create",
    "ls": "netd.cli.networks:ls",
    "inspect": "netd.cli.networks:inspect",
    "connect": "netd.cli.networks:connect",
    "disconnect": "netd.cli.networks:disconnect",
    "rm": "netd.cli.networks:rm",
    "prune": "netd.cli.networks:prune",
    "rules": "netd.cli.rules:rules",
}
_IMAGES = {
    "images": "netd.cli.images:images",
    "load": "netd.cli.images:load",
    "import": "netd.cli.images:import_",
    "tag": "netd.cli.images:tag",
    "rmi": "netd.cli.images:rmi",
    "history": "netd.cli.images:history",
}
_SYSTEM = {
    "inspect": "netd.cli.inspection:inspect",
    "events": "netd.cli.events:events",
    "info": "netd.cli.system:info",
    "version": "netd.cli.system:version",
    "doctor": "netd.cli.doctor:doctor",
    "daemon": "netd.cli.daemon:daemon",
}

_CONTAINER_GROUP = GroupEntry(
    "Manage containers",
    (
        Section(
            "Commands",
            {"ls": "netd.cli.containers:ps"}
            | _CONTAINER_WORK
            | {"inspect": "netd.cli.inspection:inspect_container"},
        ),
    ),
)
_IMAGE_GROUP = GroupEntry(
    "Manage images",
    (
        Section(
            "Commands",
            {"ls": _IMAGES["images"], "rm": _IMAGES["rmi"]}
            | {name: _IMAGES[name] for name in ("load", "import", "tag", "history")}
            | {"inspect": "netd.cli.inspection:inspect_image"},
        ),
    ),
)
_NETWORK_GROUP = GroupEntry("Manage networks", (Section("Commands", _NETWORK),))
_SYSTEM_GROUP = GroupEntry(
    "Look at the daemon",
    (Section("Commands", {name: _SYSTEM[name] for name in ("info", "events")}),),
)

SECTIONS = (
    Section("Containers", _CONTAINERS),
    Section("Networks", {"network": _NETWORK_GROUP}),
    Section("Images", _IMAGES),
    Section("System", _SYSTEM),
    Section(
        "Groups",
        {"container": _CONTAINER_GROUP, "image": _IMAGE_GROUP, "system": _SYSTEM_GROUP},
    ),
)
