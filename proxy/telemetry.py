"""Traces for OpenTelemetry: a span for each request to the data port, and spans for its parts.

Off without `OTEL_EXPORTER_OTLP_ENDPOINT`; needs the `otel` extra, which is imported here alone. A
thread of the SDK sends what is done; what it cannot send is dropped. No span holds a prompt, an
answer or a credential.
"""

from __future__ import annotations

import logging
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from index.faults import Told
from proxy.accesslog import line
from proxy.dialects.listing import route
from proxy.visits import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from proxy.settings import Upstream
    from proxy.upstream import Headers
    from proxy.visits import Visit

LOG = logging.getLogger("likewise.telemetry")
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL: Final = "http/protobuf"
# Seconds that the end of the process waits for spans to be sent.
PATIENCE: Final = 2.0
# The words of the GenAI semantic conventions for what an API does, and for who offers it.
_OPERATIONS: Final = {"completions": "text_completion", "embeddings": "embeddings"}
_PROVIDERS: Final = {"azure": "azure.ai.openai"}
# What a line of the access log tells that has a name in the conventions already, or is the span's.
_NAMED: Final = frozenset(
    {"time", "method", "path", "status", "model", "stream", "ms", "ms_upstream", "trace"}
)


def opened(env: Mapping[str, str]) -> Traces | None:
    """Traces where the environment asks for them; says in one line why it gets none."""
    named = next((name for name in ENDPOINTS if env.get(name)), None)
    off = env.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if named is None or off or env.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    spoken = next((env[name] for name in PROTOCOLS if env.get(name)), PROTOCOL)
    if spoken != PROTOCOL:
        LOG.warning("no traces: only OTLP over %s is spoken, not %s", PROTOCOL, spoken)
        return None
    try:
        return Traces(_provider(env))
    except ImportError:
        LOG.warning(
            "no traces: %s is set, and needs `pip install 'likewise[otel]'` or none of it", named
        )
    except ValueError as fault:
        LOG.warning("no traces: the OTEL_ variables cannot be read: %s", fault)
    return None


def _provider(env: Mapping[str, str]) -> TracerProvider:
    """The SDK's pipeline: its sampler, queue and exporter are set up by its own variables."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - optional
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    named = "OTEL_SERVICE_NAME" in env or "service.name=" in env.get("OTEL_RESOURCE_ATTRIBUTES", "")
    own = {"service.version": version("likewise")} | ({} if named else {"service.name": "likewise"})
    provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _quiet()
    return provider


class _Teller(logging.Handler):
    """Tells what the SDK says of a collector that is gone once a minute, not with each try."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told = Told(LOG)

    def emit(self, record: logging.LogRecord) -> None:
        self._told.warn("traces", record.getMessage())


def _quiet() -> None:
    log = logging.getLogger("opentelemetry")
    log.propagate = False
    log.handlers = [_Teller()]


class Traces:
    """Makes a trace of each visit."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - optional
            TraceContextTextMapPropagator,
        )

        self._provider = provider
        self._tracer = provider.get_tracer("likewise", version("likewise"))
        self._w3c = TraceContextTextMapPropagator()

    def begin(self, visit: Visit, context: Headers) -> Trace:
        """The visit's own span, below the caller's where these headers name one."""
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - optional

        known = route(visit.path) if visit.method == "POST" else None
        attributes = {"http.request.method": visit.method, "url.path": visit.path[:200]}
        if known is not None:
            attributes["http.route"] = visit.path
        span = self._tracer.start_span(
            f"{visit.method} {visit.path}" if known is not None else visit.method,
            context=self._w3c.extract({name.decode(): v.decode("latin-1") for name, v in context}),
            kind=SpanKind.SERVER,
            start_time=int(visit.at * 1e9),
            attributes=attributes,
        )
        return Trace(self, visit, span)

    def below(self, span: Span) -> Context:
        from opentelemetry.context import Context  # noqa: PLC0415 - optional
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415

        return set_span_in_context(span, Context())

    def part(self, parent: Span, name: str, since: int, until: int) -> None:
        """A part that is over, in nanoseconds of Unix time."""
        span = self._tracer.start_span(name, context=self.below(parent), start_time=since)
        span.end(until)

    def call(self, parent: Span, to: Upstream, visit: Visit) -> Outing:
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - optional

        address = urlsplit(to.base_url)
        attributes: dict[str, Any] = {
            "server.address": address.hostname or "",
            "server.port": address.port or (443 if address.scheme == "https" else 80),
            "gen_ai.provider.name": _PROVIDERS.get(to.api, to.api),
            "likewise.upstream": to.name,
        } | _asked(visit)
        span = self._tracer.start_span(
            _title(attributes, visit.method),
            context=self.below(parent),
            kind=SpanKind.CLIENT,
            attributes=attributes,
        )
        return Outing(self, span)

    def onward(self, span: Span, headers: Headers) -> Headers:
        """The headers with which a call goes on below a span."""
        carrier: dict[str, str] = {}
        self._w3c.inject(carrier, self.below(span))
        kept = [header for header in headers if header[0] not in CONTEXT]
        return [*kept, *((name.encode(), value.encode()) for name, value in carrier.items())]

    def close(self, patience: float = PATIENCE) -> None:
        """Send what is left, for so many seconds at most."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(patience)


class Trace:
    """The spans of one visit."""

    def __init__(self, traces: Traces, visit: Visit, span: Span) -> None:
        self._traces = traces
        self._visit = visit
        self._span = span
        self.id = f"{span.get_span_context().trace_id:032x}"

    def call(self, to: Upstream) -> Outing:
        """A call upstream that begins now."""
        return self._traces.call(self._span, to, self._visit)

    def end(self) -> None:
        visit, span = self._visit, self._span
        if not span.is_recording():
            return
        for name, since, until in _parts(visit):
            self._traces.part(span, name, _at(visit, since), _at(visit, until))
        told = line(visit)
        span.set_attributes({f"likewise.{k}": v for k, v in told.items() if k not in _NAMED})
        span.set_attributes(_asked(visit))
        span.set_attribute("http.response.status_code", told["status"])
        if told["status"] >= 500:  # noqa: PLR2004 - a server's own fault
            _failed(span, str(told.get("error", told["status"])))
        span.end(_at(visit, visit.began + visit.seconds))


class Outing:
    """The span of one call upstream, from its request to the end of its answer."""

    def __init__(self, traces: Traces, span: Span) -> None:
        self._traces = traces
        self._span = span

    def onward(self, headers: Headers) -> Headers:
        return self._traces.onward(self._span, headers)

    def answered(self, status: int) -> None:
        self._span.set_attribute("http.response.status_code", status)
        if status >= 400:  # noqa: PLR2004 - what a client calls a failure
            _failed(self._span, str(status))

    def used(self, asked: int, answered: int) -> None:
        """The tokens of the answer, where it says them."""
        if asked or answered:
            self._span.set_attribute("gen_ai.usage.input_tokens", asked)
            self._span.set_attribute("gen_ai.usage.output_tokens", answered)

    def failed(self, kind: str) -> None:
        """No answer came."""
        _failed(self._span, kind)
        self.end()

    def end(self) -> None:
        self._span.end()


def _asked(visit: Visit) -> dict[str, Any]:
    """What the request asks for, in the words of the GenAI conventions; nothing for the rest."""
    if visit.trail is not None:
        query = visit.trail.ask.query
        api, model, stream = query.dialect, query.model, query.stream
    elif visit.row is not None:
        api, model, stream = visit.row.dialect, visit.row.model, visit.row.stream
    else:
        return {}
    named = {"gen_ai.request.model": model[:200]} if model else {}
    operation = {"gen_ai.operation.name": _OPERATIONS.get(api, "chat")}
    return operation | named | {"gen_ai.request.stream": stream}


def _title(attributes: Mapping[str, Any], method: str) -> str:
    operation = attributes.get("gen_ai.operation.name")
    return (
        f"{operation} {attributes.get('gen_ai.request.model', '')}".rstrip()
        if operation
        else method
    )


def _failed(span: Span, kind: str) -> None:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 - optional

    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def _parts(visit: Visit) -> list[tuple[str, float, float]]:
    """The parts of a visit with their begin and end, by the clock of `visit.began`."""
    trail, parts = visit.trail, list(visit.steps)
    if trail is not None and trail.embed_ms:
        parts.append(("embed", trail.began, trail.began + trail.embed_ms / 1000))
    if trail is not None and trail.search_ms:
        since = trail.began + trail.embed_ms / 1000
        parts.append(("search", since, since + trail.search_ms / 1000))
    return parts


def _at(visit: Visit, clock: float) -> int:
    """Nanoseconds of Unix time."""
    return int((visit.at + clock - visit.began) * 1e9)
