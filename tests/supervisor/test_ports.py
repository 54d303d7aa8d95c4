"""Ports are tried first, and listeners without TLS stay on loopback."""

from __future__ import annotations

import socket

import pytest

from sidecar.supervisor.processes.ports import probe, reserve
from sidecar.supervisor.start.addresses import Address, loopback_address
from sidecar.supervisor.start.start_error import StartError

ANY = Address("127.0.0.1", 0)


def test_a_port_somebody_listens_on_is_named_with_the_option_that_changes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = ANY.with_port(other.getsockname()[1])
        with pytest.raises(StartError, match=rf"{taken} is in use by another program. Choose another with --port."):
            probe(taken, "front port", "--port")


def test_a_reserved_port_lets_workers_share_it_and_refuses_a_second_supervisor() -> None:
    address, held = reserve(ANY, "local gRPC port", "--grpc")
    with held:
        for _ in range(2):
            worker = socket.socket()
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind((address.host, address.port))
            worker.close()
        with pytest.raises(StartError, match="in use"):
            reserve(address, "local gRPC port", "--grpc")


def test_a_port_whose_connections_are_in_time_wait_can_be_had_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            connection, _ = server.accept()
            connection.close()  # the server's side closes first, so it is the one that waits
            assert client.recv(1) == b""
    assert probe(ANY.with_port(port), "front port", "--port").port == port


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(StartError, match=r"front port 192\.0\.2\.1:80 is not an address of this machine"):
        probe(Address("192.0.2.1", 80), "front port", "--port")


@pytest.mark.parametrize("text", ["0.0.0.0:50051", "[::]:50051", "192.0.2.1:50051"])
def test_a_listener_without_tls_is_not_bound_where_others_reach_it(text: str) -> None:
    with pytest.raises(StartError, match="not a loopback address"):
        loopback_address(text, "--grpc")


@pytest.mark.parametrize("text", ["50051", "host:1", "127.0.0.1:x", "127.0.0.1:70000", ""])
def test_what_is_no_address_is_said_to_be_none(text: str) -> None:
    with pytest.raises(StartError, match="--grpc"):
        loopback_address(text, "--grpc")


def test_addresses_are_read_as_they_are_written() -> None:
    assert loopback_address("localhost:1", "--grpc") == Address("127.0.0.1", 1)
    assert str(loopback_address("[::1]:1", "--grpc")) == "[::1]:1"
    assert loopback_address("off", "--grpc") is None
