"""deploy/kubernetes: valid by Kubernetes' own schemas, and run here as processes exactly as the manifests say.

No cluster and no container runtime is needed: kubectl renders the overlays, the steps of `Containerfile` run in an empty root,
and the container's command, environment, probes and volumes are taken out of the manifests and used, under a UID that nobody
has, on a tree that is read-only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import trustme
import yaml

from sidecar.identity.users import add_user, api_key
from tests.guides.reader import blocks
from tests.operations.containers import POD_IP, Container, Image, Root, build, context_of, run
from tests.processes import REPOSITORY, RunningProcess, wait_until
from tests.store.servers import program
from tests.wheels import CLIENT, GATEWAY, build_wheel
from tools.prometheus_rule import RULES, TARGET, prometheus_rule

OVERLAYS = REPOSITORY / "deploy" / "kubernetes" / "overlays"
GUIDE = REPOSITORY / "docs" / "guides" / "kubernetes.md"
NAMES = ("gateway", "sidecar")
# The Prometheus operator's, which have no schema in Kubernetes.
OPERATORS = {"PrometheusRule", "ServiceMonitor", "PodMonitor"}
SERVING_S = 60.0
PROVIDER_PORT = 9000
REDIS_PASSWORD = "of-the-test"

pytestmark = pytest.mark.needs("kubectl")


def rendered(overlay: str) -> list[dict[str, Any]]:
    text = run(["kubectl", "kustomize", str(OVERLAYS / overlay)])
    return [each for each in yaml.safe_load_all(text) if each]


def of_kind(overlay: str, kind: str, name: str | None = None) -> dict[str, Any]:
    found = [each for each in rendered(overlay) if each["kind"] == kind]
    [one] = [each for each in found if name is None or each["metadata"]["name"] == name]
    return one


def pod_of(overlay: str) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(overlay, "Deployment")["spec"]["template"]["spec"]
    return spec


def gateway_of(pod: dict[str, Any]) -> dict[str, Any]:
    found: list[dict[str, Any]] = [*pod.get("initContainers", ()), *pod["containers"]]
    return next(each for each in found if each["name"] == "gateway")


def option(container: dict[str, Any], name: str) -> str:
    values: list[str] = [each.partition("=")[2] for each in container["args"] if each.startswith(f"{name}=")]
    return values[0]


@pytest.mark.parametrize("overlay", NAMES)
def test_every_manifest_is_valid_by_kubernetes_schemas(overlay: str) -> None:
    kinds = set()
    for manifest in rendered(overlay):
        kinds.add(manifest["kind"])
        if manifest["kind"] not in OPERATORS:
            kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    assert {"Deployment", "ConfigMap", "ServiceAccount", "NetworkPolicy", "PrometheusRule"} <= kinds


def test_the_overlay_of_the_guide_is_valid_and_has_its_image_and_config(tmp_path: Path) -> None:
    files = {block.file: block.text for block in blocks(GUIDE.read_text()) if block.file is not None}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "llm-gateway").symlink_to(REPOSITORY)
    rendered_text = run(["kubectl", "kustomize", str(tmp_path / "production")])
    manifests = [each for each in yaml.safe_load_all(rendered_text) if each]
    for manifest in manifests:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    [config] = [each["data"]["config.yaml"] for each in manifests if each["kind"] == "ConfigMap"]
    assert config == files["production/config/config.yaml"]
    assert "image: registry.internal/llm-gateway:0.1.0" in rendered_text


def test_a_typing_error_in_a_manifest_would_be_seen() -> None:
    manifest = of_kind("gateway", "Deployment")
    manifest["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_the_rules_of_the_operator_are_prometheus_own() -> None:
    assert TARGET.read_text() == prometheus_rule(RULES.read_text()), "run `make proto`"
    assert of_kind("gateway", "PrometheusRule")["spec"] == yaml.safe_load(RULES.read_text())


@pytest.mark.parametrize("overlay", NAMES)
def test_a_stop_has_the_time_that_it_takes(overlay: str) -> None:
    pod = pod_of(overlay)
    gateway = gateway_of(pod)
    delay_s = float(option(gateway, "--drain-delay")) if overlay == "gateway" else 0
    grace_s = float(option(gateway, "--drain-grace"))
    assert pod["terminationGracePeriodSeconds"] >= delay_s + grace_s + 15
    config = yaml.safe_load(of_kind(overlay, "ConfigMap")["data"]["config.yaml"])
    for route in config["routes"]:
        assert float(route["timeouts"]["total"].removesuffix("s")) <= grace_s
    readiness = gateway["readinessProbe"]
    if overlay == "gateway":  # behind a Service, which must have noticed before calls are refused
        assert readiness["periodSeconds"] * readiness["failureThreshold"] < delay_s


@pytest.mark.parametrize("overlay", NAMES)
def test_names_of_ports_labels_and_volumes_meet(overlay: str) -> None:
    pod = pod_of(overlay)
    gateway = gateway_of(pod)
    ports = {each["name"] for each in gateway["ports"]}
    labels = of_kind(overlay, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert gateway[probe]["httpGet"]["port"] in ports
    assert {each["name"] for each in gateway["volumeMounts"]} <= {each["name"] for each in pod["volumes"]}
    deployment = of_kind(overlay, "Deployment")["metadata"]["name"]
    policy = of_kind(overlay, "NetworkPolicy", deployment)["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} <= ports
    if overlay == "gateway":
        service = of_kind(overlay, "Service", deployment)
        assert service["spec"]["selector"].items() <= labels
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports
        assert of_kind(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels
        assert of_kind(overlay, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "llm-gateway"
        monitor = of_kind(overlay, "ServiceMonitor")["spec"]
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert {each["port"] for each in monitor["endpoints"]} <= {each["name"] for each in service["spec"]["ports"]}
    else:
        monitor = of_kind(overlay, "PodMonitor")["spec"]
        assert monitor["selector"]["matchLabels"].items() <= labels
        assert {each["port"] for each in monitor["podMetricsEndpoints"]} <= ports


@pytest.mark.parametrize("overlay", NAMES)
def test_the_container_may_do_nothing_but_run(overlay: str) -> None:
    pod = pod_of(overlay)
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        allowed = container["securityContext"]
        assert allowed == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert of_kind(overlay, "ServiceAccount")["automountServiceAccountToken"] is False


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Every step of the Containerfile, run."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount an empty root")
    folder = tmp_path_factory.mktemp("image")
    wheels = [build_wheel(project, folder / name) for project, name in ((GATEWAY, "gateway"), (CLIENT, "client"))]
    return build(REPOSITORY / "Containerfile", context_of(folder / "context", wheels), folder / "stages")


@pytest.fixture
def root(image: Image) -> Iterator[Root]:
    with Root(image.root, own_network=True) as made:
        yield made


@pytest.fixture
def provider(root: Root) -> Iterator[None]:
    """On loopback of the pod."""
    program = root.outside(sys.executable, "-m", "tests.provider", "--port", str(PROVIDER_PORT))
    with RunningProcess(program) as process:
        process.wait_for_line("^provider simulator at")
        yield


@pytest.fixture
def redis(root: Root, tmp_path: Path) -> Iterator[None]:
    """As the manifest starts it, under the name that the configuration has."""
    [container] = of_kind("gateway", "StatefulSet")["spec"]["template"]["spec"]["containers"]
    words = [
        word.replace("$(REDIS_PASSWORD)", REDIS_PASSWORD).replace("/data", str(tmp_path)) for word in container["args"]
    ]
    with RunningProcess(root.outside(str(program("8.2")), *words)) as process:
        process.wait_for_line("Ready to accept connections")
        yield


def stored(root: Root) -> str:
    """What the gateways keep in Redis."""
    asking = (
        "import sys, hiredis, socket\n"
        "connection = socket.create_connection(('127.0.0.1', 6379))\n"
        "connection.sendall(hiredis.pack_command(('AUTH', sys.argv[1])) + hiredis.pack_command(('KEYS', '*')))\n"
        "reader, answers = hiredis.Reader(), []\n"
        "while len(answers) < 2:\n"
        "    reader.feed(connection.recv(65536))\n"
        "    while (answer := reader.gets()) is not False: answers.append(answer)\n"
        "print(answers)"
    )
    return run(root.outside(sys.executable, "-c", asking, REDIS_PASSWORD))


def config_of(overlay: str) -> str:
    return simulated(of_kind(overlay, "ConfigMap")["data"]["config.yaml"])


def simulated(text: str) -> str:
    """The configuration, with a provider that is here."""
    config = yaml.safe_load(text)
    for route in config["routes"]:
        assert route["model"]["provider"] == "openai"
        route["model"]["config"]["openai_api_base"] = f"http://127.0.0.1:{PROVIDER_PORT}/v1"
    return yaml.safe_dump(config)


def is_serving(container: Container) -> bool:
    assert container.process.exit_code is None, container.process.output
    return container.probe("startupProbe") == 200


def stop(container: Container) -> None:
    """SIGTERM as the kubelet sends it, to the container's first process."""
    container.process.send(signal.SIGTERM)
    wait_until(lambda: container.probe("readinessProbe") in (503, 0), SERVING_S, "not ready")
    assert container.process.wait(SERVING_S) == 0, container.process.output


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.needs("setpriv")
@pytest.mark.usefixtures("provider", "redis")
def test_the_gateways_pod_serves_under_any_uid_on_a_read_only_tree(image: Image, root: Root, tmp_path: Path) -> None:
    password = add_user(tmp_path / "users", "alice")
    authority = trustme.CA()
    issued = authority.issue_cert("llm-gateway", POD_IP)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    files = {
        "llm-gateway-config": {"config.yaml": config_of("gateway")},
        "llm-gateway-keys": {"openai": "sk-of-the-test"},
        "llm-gateway-users": {"users": (tmp_path / "users").read_text()},
        "llm-gateway-redis": {"password": REDIS_PASSWORD},
        "llm-gateway-tls": {
            "tls.crt": "".join(each.bytes().decode() for each in issued.cert_chain_pems),
            "tls.key": issued.private_key_pem.bytes().decode(),
        },
    }
    container = Container(root, image, pod_of("gateway"), "gateway", files, tmp_path)
    with container.process:
        wait_until(lambda: is_serving(container), SERVING_S, "ready")
        assert container.probe("readinessProbe") == container.probe("livenessProbe") == 200
        target = f"https://{POD_IP}:{gateway_of(pod_of('gateway'))['ports'][0]['containerPort']}"
        settings = {
            "SIDECAR_URL": target,
            "SIDECAR_API_KEY": api_key("alice", password),
            "SIDECAR_CA": str(tmp_path / "ca.pem"),
        }
        command = root.outside(sys.executable, "-m", "sidecar", "chat", "chat", "Hi", "--target", target)
        assert "echo: Hi" in run(command, {**os.environ, **settings})
        assert "production" in stored(root), "limits and budgets are counted in the store"
        for folder in ("/opt/llm-gateway", "/etc/llm-gateway/config"):
            written = subprocess.run(root.command("touch", f"{folder}/x"), capture_output=True, text=True, check=False)
            assert "Read-only file system" in written.stderr
        stop(container)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.needs("setpriv")
@pytest.mark.usefixtures("provider")
def test_the_sidecar_serves_the_application_of_its_pod(image: Image, root: Root, tmp_path: Path) -> None:
    files = {
        "llm-gateway-config": {"config.yaml": config_of("sidecar")},
        "llm-gateway-keys": {"openai": "sk-of-the-test"},
    }
    pod = pod_of("sidecar")
    container = Container(root, image, pod, "gateway", files, tmp_path)
    [application] = pod["containers"]
    [target] = [each["value"] for each in application["env"] if each["name"] == "SIDECAR_GRPC_LOCAL"]
    with container.process:
        wait_until(lambda: is_serving(container), SERVING_S, "ready")
        assert container.probe("readinessProbe") == container.probe("livenessProbe") == 200
        command = root.outside(sys.executable, "-m", "sidecar", "chat", "chat", "Hi", "--target", target)
        assert "echo: Hi" in run(command)
        stop(container)
