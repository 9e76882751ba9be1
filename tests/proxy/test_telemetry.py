"""Traces, as a real OTLP receiver takes them in, and what happens without one."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from proxy import telemetry
from proxy.demo.oracle import OracleUpstream
from tests.proxy.house import MODEL, serving, until, uvicorn_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

KEY = "sk-canary-of-the-key"
SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SERVER, CLIENT, INTERNAL = 2, 3, 1


class Collector:
    """An OTLP receiver over HTTP: the requests that it was sent, and their spans."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.raw = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        assert scope["path"] == "/v1/traces"
        self.raw += body
        self.requests.append(trace_service.ExportTraceServiceRequest.FromString(body))
        kind = [(b"content-type", b"application/x-protobuf")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": b""})

    def spans(self) -> list[Any]:
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def ended(self, count: int) -> list[Any]:
        """The spans of requests, once there are so many."""

        def found() -> list[Any]:
            some = [span for span in self.spans() if span.kind == SERVER]
            return some if len(some) >= count else []

        some: list[Any] = until(found)
        return some

    def parts(self, span: Any) -> dict[str, Any]:
        return {one.name: one for one in self.spans() if one.parent_span_id == span.span_id}


def told(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the environment in which a house sends its traces to an address."""

    def sending(address: str, **more: str) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        for name, value in more.items():
            monkeypatch.setenv(name, value)

    return sending


def test_a_request_is_a_span_with_its_parts(tmp_path: Path, collected: Callable[..., None]) -> None:
    """Below the caller's span; what goes upstream is below it in turn, and says so upstream. The
    access log names the same trace. No word of a prompt or an answer, and no key."""
    oracle, collector = OracleUpstream(), Collector()
    log = tmp_path / "access.log"
    with uvicorn_of(collector) as address, uvicorn_of(oracle) as upstream:
        collected(address)
        with serving(tmp_path, upstream, oracle, server={"access_log": str(log)}) as house:
            parent = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=1"}
            first = house.chat(SKY, KEY, parent)
            house.chat(SKY_AGAIN, KEY, stream=True)
            house.chat(SKY, KEY, parent)
            house.chat(SKY, KEY, parent)
            house.client.get(f"{house.where.data}/v1/models?key=canary-of-the-query")
            house.client.get(f"{house.where.data}/readyz")
            miss, semantic, exact, repeat, passed = collector.ended(5)
            parts = until(lambda: len(p := collector.parts(miss)) > 3 and p)
    assert (miss.trace_id.hex(), miss.parent_span_id.hex()) == (TRACE, CALLER)
    assert miss.name == "POST /v1/chat/completions"
    expected = {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": MODEL,
        "likewise.outcome": "miss",
        "likewise.reason": "empty",
        "likewise.category": "default",
        "likewise.request": first.headers["x-likewise-request"],
    }
    assert {key: told(miss)[key] for key in expected} == expected
    assert parts.keys() == {"embed", "search", "store", f"chat {MODEL}"}
    call = parts[f"chat {MODEL}"]
    usage = first.json()["usage"]
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": MODEL,
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "likewise.upstream": "oracle",
    }
    assert call.kind == CLIENT
    assert {key: told(call)[key] for key in expected} == expected
    for span in parts.values():
        assert miss.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    seen = oracle.log[0].headers
    assert seen["traceparent"] == f"00-{TRACE}-{call.span_id.hex()}-01"
    assert seen["tracestate"] == "vendor=1"
    assert told(semantic)["likewise.match"] == "semantic"
    assert not semantic.parent_span_id
    assert told(exact)["likewise.match"] == told(repeat)["likewise.match"] == "exact"
    assert repeat.trace_id.hex() == TRACE
    assert (passed.name, told(passed)["url.path"]) == ("GET", "/v1/models")
    lines = log.read_text()
    assert lines.count(f'"trace":"{TRACE}"') == 3
    assert f'"trace":"{semantic.trace_id.hex()}"' in lines
    (resource, *_) = collector.requests[0].resource_spans
    named = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert named["service.name"] == "likewise"
    text = collector.raw.lower()
    assert all(word not in text for word in (b"canary", b"sky", b"blue", b"sk-"))


def test_a_trace_that_is_not_sampled_goes_on_unsampled(
    tmp_path: Path, collected: Callable[..., None]
) -> None:
    """The SDK's own variables rule; upstream hears of the trace, and that nobody records it. A
    collector that is gone costs no request anything, nor the end."""
    oracle = OracleUpstream()
    with uvicorn_of(oracle) as upstream:
        collected("http://127.0.0.1:9", OTEL_TRACES_SAMPLER="always_off")
        with serving(tmp_path, upstream, oracle) as house:
            house.chat(SKY, KEY, {"traceparent": f"00-{TRACE}-{CALLER}-01"})
        collected("http://127.0.0.1:9", OTEL_TRACES_SAMPLER="always_on")
        with serving(tmp_path, upstream, oracle) as house:
            assert house.chat(SKY_AGAIN, KEY).status_code == 200
            assert house.chat("another", KEY, {"x-oracle-mode": "status:500"}).status_code == 500
    version, trace, _, flags = oracle.log[0].headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "00")


ASKED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        pytest.param({}, "", id="not-asked-for"),
        pytest.param(ASKED | {"OTEL_SDK_DISABLED": "true"}, "", id="disabled"),
        pytest.param(ASKED | {"OTEL_TRACES_EXPORTER": "none"}, "", id="none"),
        pytest.param(ASKED | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "not grpc", id="grpc"),
    ],
)
def test_no_traces_without_a_way_to_send_them(
    caplog: pytest.LogCaptureFixture, env: dict[str, str], said: str
) -> None:
    """Silently where nobody wants any, in one line where somebody does."""
    assert telemetry.opened(env) is None
    assert len(caplog.records) == bool(said)
    assert said in caplog.text


def test_the_missing_extra_is_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what was asked for and what to install; the proxy starts all the same."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert telemetry.opened(ASKED) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for word in ("OTEL_EXPORTER_OTLP_ENDPOINT", "likewise[otel]", "no traces"):
        assert word in record.getMessage()
