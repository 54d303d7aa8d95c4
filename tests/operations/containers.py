"""What a container runtime does, with mounts, a network namespace and another user in place of one: `Containerfile` step by step
in an empty root, and one container of a pod, exactly as its manifest says. Needs root."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.processes import REPOSITORY, RunningProcess

POD_IP = "10.1.2.3"
# Any that no system has: a cluster chooses it.
UID = 23456
_STEP_S = 600
# /usr and what leads there are the system's, as in an image's first layer; so is the Python at "$2". /opt is the image's own, but
# for what this machine has there.
_ENTER = """
set -e
root=$1 python=$2 network=$3
mount --make-rprivate /
mount --bind "$root" "$root"
take() { mkdir -p "$root$1"; mount --rbind "$1" "$root$1"; }
for name in bin sbin lib lib64; do
    if [ -L "/$name" ]; then ln -sfn "$(readlink "/$name")" "$root/$name"; elif [ -e "/$name" ]; then take "/$name"; fi
done
take /usr; take /proc; take /dev
mkdir -p "$root/etc"
for name in group hosts ld.so.cache nsswitch.conf passwd pip.conf resolv.conf ssl xdg; do
    if [ -e "/etc/$name" ] && [ ! -e "$root/etc/$name" ]; then cp -aL "/etc/$name" "$root/etc/$name"; fi
done
case "$python" in /usr/*) ;; *) take "$python" ;; esac
for each in /opt/*; do if [ -d "$each" ] && [ ! -e "$root$each" ]; then take "$each"; fi; done
echo "127.0.0.1 redis llm-gateway-redis" >> "$root/etc/hosts"
if [ "$network" = own ]; then ip link set lo up; ip address add "$4/32" dev lo; fi
echo entered
exec sleep infinity
"""


class Root:
    """A directory as the root of processes, in a mount namespace of its own; gone with the `with` block."""

    def __init__(self, path: Path, *, own_network: bool) -> None:
        path.mkdir(parents=True, exist_ok=True)
        (path / "tmp").mkdir(mode=0o1777, exist_ok=True)
        self.path = path
        namespaces = ("-m", "-n") if own_network else ("-m",)
        words = (str(path), sys.base_prefix, "own" if own_network else "host", POD_IP)
        self._holder = RunningProcess(["unshare", *namespaces, "sh", "-c", _ENTER, "sh", *words])
        self._holder.wait_for_line("^entered$")
        self._namespaces = (f"--target={self._holder.pid}", "--mount", *(("--net",) if own_network else ()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()

    def command(self, *words: str) -> list[str]:
        """`words` inside."""
        return ["nsenter", *self._namespaces, "chroot", str(self.path), *words]

    def outside(self, *words: str) -> list[str]:
        """`words` on this machine's tree, with the network of the inside."""
        return ["nsenter", f"--target={self._holder.pid}", "--net", *words]

    def mounted(self, *words: str) -> None:
        """A mount by the words of mount(8)."""
        run(["nsenter", *self._namespaces, "mount", *words])


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """Its output; AssertionError with it when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_STEP_S, check=False, env=env)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@dataclass
class Image:
    """What the steps of a Containerfile made."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    workdir: str = "/"
    user: str = "0"


def instructions(text: str) -> list[tuple[str, str]]:
    """The lines of a Containerfile: name and rest."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def build(containerfile: Path, context: Path, folder: Path) -> Image:
    """Runs every step. A base image is an empty root with this machine's /usr and Python."""
    stages: dict[str, Image] = {}
    image = Image(folder / "none")
    for number, (name, rest) in enumerate(instructions(containerfile.read_text())):
        if name == "FROM":
            stage = rest.partition(" AS ")[2] or f"stage-{number}"
            image = stages[stage] = Image(folder / stage)
            image.root.mkdir(parents=True)
            python = image.root / "python" / "bin"
            python.mkdir(parents=True)
            (python / "python").symlink_to(Path(sys.base_prefix, "bin", "python3"))
        elif name == "COPY":
            _copy(shlex.split(rest), context, image.root, stages)
        elif name == "RUN":
            _run_step(rest, image)
        elif name == "ENV":
            image.env |= dict(word.split("=", 1) for word in shlex.split(rest))
        elif name == "WORKDIR":
            image.workdir = rest
            (image.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "USER":
            image.user = rest
        elif name == "ENTRYPOINT":
            image.entrypoint = [word.strip('", ') for word in rest.strip("[]").split(",")]
        else:
            assert name in ("EXPOSE", "CMD"), f"{name} is not known here"
    return image


def _copy(words: list[str], context: Path, root: Path, stages: dict[str, Image]) -> None:
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].root
        [tree, target] = words
        shutil.copytree(source / tree.lstrip("/"), root / target.lstrip("/"), symlinks=True)
        return
    *patterns, target = words
    folder = root / target.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in patterns:
        found = list(context.glob(pattern))
        assert found, pattern
        for path in found:
            shutil.copy(path, folder)


def _run_step(line: str, image: Image) -> None:
    # pip's own settings are this machine's, as its network is.
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    env = {"PATH": "/python/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", **pip, **image.env}
    with Root(image.root, own_network=False) as root:
        run(root.command("sh", "-c", line), env=env)


class Container:
    """One container of a pod, from its manifest, in an image's root that is read-only but for its volumes.

    `files` are the contents of config maps and secrets by name; they are written to `folder`.
    """

    def __init__(
        self,
        root: Root,
        image: Image,
        pod: dict[str, Any],
        name: str,
        files: Mapping[str, Mapping[str, str]],
        folder: Path,
    ) -> None:
        containers = [*pod.get("initContainers", ()), *pod["containers"]]
        [self.manifest] = [each for each in containers if each["name"] == name]
        self._root = root
        self._folder = folder
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for mount in self.manifest["volumeMounts"]:
            self._mount(volumes[mount["name"]], mount["mountPath"], files, read_only=mount.get("readOnly", False))
        if self.manifest["securityContext"]["readOnlyRootFilesystem"]:
            root.mounted("-o", "remount,ro,bind", str(root.path))
        env = image.env | {each["name"]: each["value"] for each in self.manifest.get("env", ())}
        variables = [f"{key}={value}" for key, value in env.items()]
        drop = ("--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
        account = ("setpriv", f"--reuid={UID}", f"--regid={UID}", *drop)
        program = (*image.entrypoint, *self.manifest["args"])
        self.process = RunningProcess(root.command(*account, "env", "-i", "-C", image.workdir, *variables, *program))

    def _mount(
        self, volume: dict[str, Any], path: str, files: Mapping[str, Mapping[str, str]], *, read_only: bool
    ) -> None:
        target = self._root.path / path.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        if "emptyDir" in volume:
            self._root.mounted("-t", "tmpfs", "-o", "mode=0777", "tmpfs", str(target))
            return
        name = volume["configMap"]["name"] if "configMap" in volume else volume["secret"]["secretName"]
        source = self._folder / f"volume-{name}"
        fresh = source / "..2026"
        fresh.mkdir(parents=True)
        (source / "..data").symlink_to(fresh.name)
        for file, text in files[name].items():
            (fresh / file).write_text(text)
            (source / file).symlink_to(f"..data/{file}")
        self._root.mounted("--bind", str(source), str(target))
        if read_only:
            self._root.mounted("-o", "remount,ro,bind", str(target))

    def probe(self, name: str) -> int:
        """The status that the kubelet gets, which comes by the pod's address and believes any certificate; 0: none."""
        probe = self.manifest[name]["httpGet"]
        [port] = [each["containerPort"] for each in self.manifest["ports"] if each["name"] == probe["port"]]
        url = f"{probe.get('scheme', 'HTTP').lower()}://{POD_IP}:{port}{probe['path']}"
        program = (
            "import sys, httpx\n"
            "try: print(httpx.get(sys.argv[1], verify=False, trust_env=False, timeout=5).status_code)\n"
            "except httpx.HTTPError: print(0)"
        )
        return int(run(self._root.outside(sys.executable, "-c", program, url)))


def context_of(folder: Path, wheels: Sequence[Path]) -> Path:
    """What a build sees of the repository after `make dist`."""
    (folder / "dist").mkdir(parents=True)
    (folder / "requirements").mkdir()
    for wheel in wheels:
        shutil.copy(wheel, folder / "dist")
    shutil.copy(REPOSITORY / "requirements" / "server.txt", folder / "requirements")
    return folder
