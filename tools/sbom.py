"""`python -m tools.sbom FOLDER` writes the software bills of materials next to the wheels of `make dist`: CycloneDX
1.6 as JSON.

requirements/server.txt pins what is installed, so the bill is generated from that lock: names, versions, the hashes
that pip verifies, and dependencies (uv's "via" comments). Licences come from the metadata of installed packages;
packages for other systems have none. A bill does not depend on time or machine: the same tree gives the same bytes.
"""

from __future__ import annotations

import re
import sys
import tomllib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "server.txt"
GATEWAY, CLIENT = ROOT, ROOT / "client"
_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")  # the RFC's, for names without their own namespace
_ENTRY = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)(?: ; (?P<where>[^\\\n]+))?", re.MULTILINE
)
# Packages for other systems have no licence here, whether or not one happens to be installed.
_ELSEWHERE = re.compile(r"sys_platform == '(?!linux)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"^    # via(?: (\S+))?((?:\n    #   \S.*)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Pinned:
    """One package of the lock."""

    name: str
    version: str
    sha256: tuple[str, ...]
    needed_by: tuple[str, ...]
    is_for_linux: bool = True


def pinned(lock: str) -> list[Pinned]:
    """The packages of a lock written by uv, in order."""
    starts = list(_ENTRY.finditer(lock))
    ends = [start.start() for start in starts[1:]] + [len(lock)]
    return [_pinned(start, lock[start.start() : end]) for start, end in zip(starts, ends, strict=True)]


def _pinned(entry: re.Match[str], block: str) -> Pinned:
    via = _VIA.search(block)
    names = () if via is None else (via[1] or "", *(line.strip(" #") for line in via[2].splitlines()))
    needed_by = tuple(name.split(" ")[0] for name in names if name and not name.startswith("-"))
    is_for_linux = _ELSEWHERE.search(entry["where"] or "") is None
    return Pinned(entry["name"], entry["version"], tuple(_HASH.findall(block)), needed_by, is_for_linux)


def reachable(packages: Iterable[Pinned], roots: Iterable[str]) -> list[Pinned]:
    """The packages that `roots` need, directly or indirectly."""
    packages = list(packages)
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [each.name for each in packages if name in each.needed_by]
    return [each for each in packages if each.name in found]


def _licences(name: str) -> list[License]:
    """The licences in the package's own metadata."""
    try:
        fields = metadata(name)
    except PackageNotFoundError:
        return []

    def first(name: str) -> str:
        return next(iter(fields.get_all(name) or ()), "").split("\n")[0].strip()

    text = first("License-Expression") or first("License")
    if not text:
        classifiers = fields.get_all("Classifier") or []
        text = ", ".join(each.rsplit(" :: ", 1)[1] for each in classifiers if each.startswith("License :: "))
    return [LicenseFactory().make_from_string(text)] if text else []


def _component(package: Pinned) -> Component:
    purl = PackageURL("pypi", None, package.name, package.version)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=each) for each in sorted(package.sha256)]
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"pkg:pypi/{package.name}@{package.version}"),
        comment="the files that the lock allows",
        hashes=hashes,
    )
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        bom_ref=str(purl),
        purl=purl,
        licenses=_licences(package.name) if package.is_for_linux else [],
        external_references=[files],
    )


def _own(project: Path) -> Component:
    """One of our two distributions."""
    ours = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    purl = PackageURL("pypi", None, ours["name"], ours["version"])
    licence = LicenseFactory().make_from_string(ours["license"])
    kind = ComponentType.LIBRARY if project == CLIENT else ComponentType.APPLICATION
    return Component(
        type=kind, name=ours["name"], version=ours["version"], bom_ref=str(purl), purl=purl, licenses=[licence]
    )


def bill(project: Path, packages: list[Pinned]) -> str:
    """The bill of the distribution in the folder `project`, GATEWAY or CLIENT. The gateway also needs the client."""
    root = _own(project)
    own = {root.name: root} if project == CLIENT else {each.name: each for each in (root, _own(CLIENT))}
    packages = packages if project == GATEWAY else reachable(packages, [root.name])
    components = own | {each.name: _component(each) for each in packages}
    bom = Bom(
        components=[each for each in components.values() if each is not root], metadata=BomMetaData(component=root)
    )
    bom.metadata.timestamp = None  # type: ignore[assignment]  # optional in the standard
    for name, component in components.items():
        needs = [components[each.name] for each in packages if name in each.needed_by]
        clients = [each for each in own.values() if each is not root] if component is root else []
        bom.register_dependency(component, [*needs, *clients])
    versions = "\n".join(f"{each.name}=={each.version}" for each in components.values())
    bom.serial_number = uuid.uuid5(_NAMESPACE, versions)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def main() -> None:
    [folder] = map(Path, sys.argv[1:])
    packages = pinned(LOCK.read_text())
    for project in (GATEWAY, CLIENT):
        own = _own(project)
        path = folder / f"{own.name.replace('-', '_')}-{own.version}.cdx.json"
        path.write_text(bill(project, packages))
        print(path)


if __name__ == "__main__":
    main()
