"""No method and no path, however it is spelt, is answered to a stranger, and the core hears nothing of him: over both fronts."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sidecar.front.programs import PROGRAMS, Program
from sidecar.front.settings import FrontSettings
from sidecar.identity.users import add_user, remove_user
from tests.crawl.crawl import Crawl, Headers, Probe, crawl, probes, strangers
from tests.crawl.mutations import MUTATIONS, SPELLINGS, Request, leads_to
from tests.crawl.recorder import BODY, Recorder
from tests.crawl.targets import OWN_SERVICE, PUBLIC, Target, targets
from tests.crawl.wire import Answer, Http1, http2
from tests.front.conftest import START_TIMEOUT_S, Front, start_front

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PROBES_MIN = 5_000
TARGETS = targets()
HEALTH = f"/{OWN_SERVICE}/{PUBLIC}"
# What the faults below open.
OPENED = [target for target in TARGETS if target.path in ("/v1/models", "/v1/embeddings")]
OPENED_RPC = next(target for target in TARGETS if target.path == "/sidecar.v1.InferenceService/Embed")


@dataclass
class Site:
    """A front with a recording core behind it."""

    front: Front
    core: Recorder
    gone_password: str

    @property
    def strangers(self) -> dict[str, Headers]:
        return strangers(self.front.user, self.front.password, "gone", self.gone_password)

    @property
    def good(self) -> Headers:
        return ((b"Authorization", self.front.basic["authorization"].encode()),)

    async def crawl(self, some: list[Target]) -> Crawl:
        return await asyncio.to_thread(
            crawl, self.front.port, self.front.tls(), self.h2_tls(), probes(some, self.strangers)
        )

    def h2_tls(self) -> ssl.SSLContext:
        trust = self.front.tls()
        trust.set_alpn_protocols(["h2"])
        return trust

    def send(self, probe: Probe) -> Answer:
        """gRPC by HTTP/2, REST by HTTP/1.1. Blocks."""
        if probe.target.grpc:
            (answer,) = http2(self.front.port, self.h2_tls(), [probe.http2()])
            return answer
        with Http1(self.front.port, self.front.tls()) as connection:
            return connection.ask(probe.http1())


@pytest.fixture(scope="module", params=PROGRAMS.values(), ids=list(PROGRAMS))
def front(request: pytest.FixtureRequest) -> Iterator[Front]:
    state = Path(tempfile.mkdtemp(prefix="crawl-"))
    running = start_front(state, request.param)
    yield running
    running.stop()
    shutil.rmtree(state)


@pytest.fixture
async def site(front: Front) -> AsyncIterator[Site]:
    made = await _site(front)
    yield made
    await made.core.stop()


async def _site(front: Front) -> Site:
    """Once the front passes calls on, and has heard that the user is gone."""
    core = Recorder(front.link.with_name(f"recorder-{time.monotonic_ns()}.sock"))
    await core.start(front.link)
    made = Site(front, core, add_user(front.users_file, "gone", replace=True))
    front.take_users()
    gone = Probe("", _by_path("/v1/models"), Request(b"/v1/models"), made.strangers["a removed user"])
    await _until(lambda: made.send(gone).status == 200, front)  # it held once
    remove_user(front.users_file, "gone")
    front.take_users()
    await _until(lambda: made.send(gone).status == 401, front)
    core.seen.clear()
    return made


def _by_path(path: str) -> Target:
    return next(target for target in TARGETS if target.path == path)


async def _until(condition: Callable[[], bool], front: Front) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline_s, front.logs
        await asyncio.sleep(0.01)


async def test_no_stranger_is_answered_and_the_core_sees_nothing(site: Site) -> None:
    began_s = time.monotonic()
    found = await site.crawl(TARGETS)
    took_s = time.monotonic() - began_s
    print(
        f"\n{site.front.program.name}: {found.probes} probes of {len(TARGETS)} methods and paths in {took_s:.1f} s, "
        f"{found.connections} connections: {dict(found.statuses)}; {found.public} reached the public path"
    )
    assert not found.bypasses, found.bypasses[:20]
    assert found.probes >= PROBES_MIN
    assert set(site.core.seen) <= {HEALTH}
    assert len(site.core.seen) == found.public > 0


async def test_with_credentials_each_path_reaches_its_own_rpc_and_no_other(site: Site) -> None:
    """The control: it is the credentials that make the difference. RestService's own paths are nobody's."""
    for target in TARGETS:
        site.core.seen.clear()
        answer = await asyncio.to_thread(site.send, Probe("", target, Request(target.path.encode()), site.good))
        if target.reachable:
            assert (target.path, answer.status, site.core.seen) == (target.path, 200, [target.name])
            assert target.grpc or answer.body.endswith((BODY, BODY + b"\r\n0\r\n\r\n"))
        else:
            assert (target.path, answer.grpc, site.core.seen) == (target.path, "12", [])


async def test_spellings_with_credentials_reach_one_rpc_or_none_and_break_nothing(site: Site) -> None:
    """The same spellings by somebody who may come in: no 5xx, and never an RPC whose path he did not mean. (What gRPC does
    not know at all it refuses itself.)"""
    known = {target.name for target in TARGETS}
    wrong: list[str] = []
    for target in TARGETS:
        with Http1(site.front.port, site.front.tls()) as connection:
            for spelling, make in MUTATIONS.items():
                probe = Probe(spelling, target, make(target.path), site.good)
                site.core.seen.clear()
                answer = await asyncio.to_thread(connection.ask, probe.http1(), head=probe.verb == "HEAD")
                meant = {each.name for each in TARGETS if each.means(leads_to(probe.request.target))}
                if answer.status >= 500 or len(site.core.seen) > 1 or not meant.issuperset(known & set(site.core.seen)):
                    wrong.append(f"{probe.verb} {probe.request.target!r}: {answer.status} {site.core.seen}")
    assert not wrong


def _opened_in_nginx(folder: Path) -> None:
    """As if somebody had forgotten the credentials of two paths and of a service."""
    rest, conf = folder / "rest_locations.conf", folder / "nginx.conf"
    text = rest.read_text()
    for target in OPENED:
        location = f"location = {target.path} {{\n"
        assert location in text
        text = text.replace(location, f"{location}    auth_basic off;\n")
    rest.write_text(text)
    text, count = re.subn(r'(location ~ "\^/\(sidecar.*\n)', r"\1            auth_basic off;\n", conf.read_text())
    assert count == 1
    conf.write_text(text)


def _opened_in_envoy(folder: Path) -> None:
    off = '"users": {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true}'
    conf = folder / "envoy.yaml"
    lines = conf.read_text().splitlines()
    opened = 0
    for number, line in enumerate(lines):
        if any(f'- {{"match": {{"path": "{target.path}"' in line for target in OPENED) and '"route": *core' in line:
            lines[number] = line.replace('"route": *core', f'"typed_per_filter_config": {{{off}}}, "route": *core')
            opened += 1
        if "rest_answer: *off" in line and "{" not in line:
            lines[number] = f"                  {off}\n{line}"
            opened += 1
    assert opened == len(OPENED) + 1
    conf.write_text("\n".join(lines))


FAULTS = {"nginx": _opened_in_nginx, "envoy": _opened_in_envoy}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=list(PROGRAMS))
async def test_the_crawl_finds_locations_whose_credentials_were_forgotten(program: Program) -> None:
    def faulty(settings: FrontSettings, folder: Path) -> Path:
        conf = program.render(settings, folder)
        FAULTS[program.name](folder)
        return conf

    state = Path(tempfile.mkdtemp(prefix="crawl-"))
    front = start_front(state, replace(program, render=faulty))
    core = Recorder(state / "run" / "recorder.sock")
    try:
        await core.start(front.link)
        opened = Probe("", OPENED[0], Request(OPENED[0].path.encode()), ())
        site = Site(front, core, "never")
        await _until(lambda: site.send(opened).status == 200, front)
        found = await site.crawl([*OPENED, OPENED_RPC, _by_path("/docs")])
        print(f"\n{program.name}: {len(found.bypasses)} of {found.probes} probes came through where they should not")
        named = {target.name for target in (*OPENED, OPENED_RPC)}
        assert {one for one in named if not any(one in bypass for bypass in found.bypasses)} == set()
        assert not any(f"/{OWN_SERVICE}/OpenDocs, as it is" in bypass for bypass in found.bypasses)
        assert named <= set(core.seen)
    finally:
        await core.stop()
        front.stop()
        shutil.rmtree(state)


def test_there_are_forty_spellings_and_more_and_six_kinds_of_strangers() -> None:
    assert len(SPELLINGS) >= 40
    assert len(strangers("alice", "0123456789abcdef", "gone", "x")) >= 6
