"""Where the gateway may listen without TLS, and whom it may believe: what an operator writes by mistake is refused in words."""

from __future__ import annotations

import pytest

from sidecar.supervisor.start.addresses import Address, metrics_address, plain_addresses, trusted_networks
from sidecar.supervisor.start.options import FrontOptions
from sidecar.supervisor.start.start_error import StartError

TRUSTED = trusted_networks(["10.0.0.0/8", "fd00::/8"], "--trusted-proxy")


@pytest.mark.parametrize(
    "texts",
    [["127.0.0.1:8080"], ["[::1]:80", "127.0.0.1:80"], ["10.1.2.3:80"], ["[fd00::7]:80"], ["0.0.0.0:80"] * 2, []],
)
def test_without_tls_on_loopback_in_a_trusted_network_or_said_twice(texts: list[str]) -> None:
    found = plain_addresses(texts, TRUSTED, "--http")
    assert [str(each) for each in found] == list(dict.fromkeys(texts))


@pytest.mark.parametrize(
    "texts", [["0.0.0.0:80"], ["192.0.2.1:80"], ["[::]:80"], ["0.0.0.0:80", "[::]:80"], ["0.0.0.0:80", "0.0.0.0:81"]]
)
def test_without_tls_elsewhere_is_refused_and_says_how_to_insist(texts: list[str]) -> None:
    with pytest.raises(StartError) as caught:
        plain_addresses(texts, TRUSTED, "--http")
    assert f"--http {texts[0]} --http {texts[0]}." in str(caught.value)


@pytest.mark.parametrize("texts", [["127.0.0.1:1"], ["[::1]:1"], ["0.0.0.0:1"] * 2, ["10.0.0.5:1"] * 3])
def test_metrics_are_on_loopback_or_where_it_is_said_twice(texts: list[str]) -> None:
    assert str(metrics_address(texts, "--metrics")) == texts[0]


def test_metrics_may_be_off() -> None:
    assert metrics_address(["off"], "--metrics") is None


def test_the_last_one_counts_as_with_every_option() -> None:
    assert str(metrics_address(["0.0.0.0:1", "127.0.0.1:2"], "--metrics")) == "127.0.0.1:2"
    assert metrics_address(["0.0.0.0:1", "off"], "--metrics") is None


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["0.0.0.0:1"], r"repeat the option: --metrics 0\.0\.0\.0:1 --metrics 0\.0\.0\.0:1"),
        (["127.0.0.1:1", "0.0.0.0:1"], "repeat the option"),
        (["9464"], "is not an address"),
    ],
)
def test_metrics_elsewhere_are_refused_and_say_how_to_insist(texts: list[str], why: str) -> None:
    with pytest.raises(StartError, match=why):
        metrics_address(texts, "--metrics")


def test_localhost_is_one_address() -> None:
    assert plain_addresses(["localhost:80"], (), "--http") == (Address("127.0.0.1", 80),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.0.0.1/8", r"Did you mean 10\.0\.0\.0/8\?"),
        ("balancer", "is not a network"),
        ("10.0.0.0/33", "is not a network"),
        ("0.0.0.0/0", "includes everybody"),
        ("::/0", "includes everybody"),
        ("", "is not a network"),
    ],
)
def test_what_is_no_network_to_trust_is_said(text: str, why: str) -> None:
    with pytest.raises(StartError, match=why):
        trusted_networks([text], "--trusted-proxy")


def test_an_address_is_a_network_of_one() -> None:
    assert list(map(str, trusted_networks(["10.0.0.5", "::1", "10.0.0.5"], "--trusted-proxy"))) == [
        "10.0.0.5/32",
        "::1/128",
    ]


def test_what_a_front_cannot_do_is_refused_before_anything_starts() -> None:
    with pytest.raises(StartError, match="--calls-per-client requires Nginx"):
        FrontOptions(program="envoy", calls_per_client=10)
    with pytest.raises(StartError, match="--proxy-protocol requires --trusted-proxy"):
        FrontOptions(proxy_protocol=True)
