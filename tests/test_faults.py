"""The fault proxy does to a connection what it was told, and nothing else."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults import NONE, Fault, FaultProxy, in_front_of
from tests.proxy.wire import PATIENCE, Echo, exchange, listening, status

if TYPE_CHECKING:
    from collections.abc import Iterator

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
LARGE = b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def way() -> Iterator[FaultProxy]:
    with listening(Echo()) as port, in_front_of(port) as proxy:
        yield proxy


@pytest.mark.parametrize(
    "fault",
    [NONE, Fault(slices=1), Fault(latency=0.001), Fault(bandwidth=1e6), Fault(slow_close=0.1)],
)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_everything_passes(way: FaultProxy, fault: Fault, direction: str) -> None:
    """Slow or in slices, every byte arrives and the end with them."""
    setattr(way, direction, fault)
    assert status(exchange(way.port, GET)) == 200


@pytest.mark.parametrize("fault", [Fault(latency=0.2), Fault(bandwidth=100.0)])
def test_it_takes_its_time(way: FaultProxy, fault: Fault) -> None:
    """Latency and a narrow line keep an answer back."""
    way.down = fault
    begun = time.monotonic()
    exchange(way.port, GET)
    assert time.monotonic() - begun >= 0.2


def test_a_limit_ends_a_connection_in_order(way: FaultProxy) -> None:
    """Exactly so many bytes come, then an end as if there were no more."""
    way.down = Fault(limit=1_000)
    assert len(exchange(way.port, LARGE)) == 1_000


def test_a_reset_is_heard(way: FaultProxy) -> None:
    """The client's read fails."""
    way.down = Fault(reset=1_000)
    with pytest.raises(ConnectionResetError):
        exchange(way.port, LARGE)


def test_what_is_stalled_goes_on_when_healed(way: FaultProxy) -> None:
    """Nothing comes and nothing ends, until the fault is taken away."""
    way.down = Fault(stall=10)
    client = socket.create_connection(("127.0.0.1", way.port), timeout=0.3)
    client.sendall(GET)
    assert len(client.recv(100)) == 10
    with pytest.raises(TimeoutError):
        client.recv(100)
    way.heal()
    client.settimeout(PATIENCE)
    assert client.recv(100)
    client.close()


def test_it_can_vanish_and_come_back(way: FaultProxy) -> None:
    """Open connections break, new ones are refused, and the port stays the same."""
    client = socket.create_connection(("127.0.0.1", way.port), timeout=PATIENCE)
    client.sendall(GET[:10])
    while not way.open:
        time.sleep(0.01)
    way.vanish()
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    with pytest.raises(ConnectionError):
        exchange(way.port, GET)
    way.listen()
    assert status(exchange(way.port, GET)) == 200
    client.close()
