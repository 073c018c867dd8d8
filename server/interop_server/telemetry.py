"""Sends spans to an OpenTelemetry collector, by OTLP over HTTP; loaded only when that is wanted.

A collector that is not there costs one line in the log, and what was meant for it.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer, get_current_span

from interop_server import __version__
from interop_server.core.journal import Journal, JournalEntry

PATH = "/v1/traces"
"""Where a collector takes spans, below its address."""
FLUSH_SECONDS, ABORT_SECONDS = 0.6, 0.2
"""How long a stop waits for the last spans to go, and, once they are given up, for the thread that sends them."""
_MAX_REASON = 200
_log = logging.getLogger(__name__)


class TelemetryUnusable(Exception):
    """Spans cannot be made as was chosen; the message is a sentence that says why."""


class Telemetry:
    """Makes spans and sends them, in a thread of its own.

    Beside the address, all is as the standard variables say: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
    OTEL_TRACES_SAMPLER, OTEL_BSP_…, OTEL_EXPORTER_OTLP_HEADERS and others.

    Args:
        url: The address of a collector, such as `http://127.0.0.1:4318`.
        node: The name of this process.

    Raises:
        TelemetryUnusable: One of the variables has a value that cannot be.
    """

    def __init__(self, url: str, node: str) -> None:
        endpoint = url if urlsplit(url).path.endswith(PATH) else url.rstrip("/") + PATH
        own = {"service.name": "interopsim", "service.version": __version__, "service.instance.id": node}
        resource = Resource.create({**own, **OTELResourceDetector().detect().attributes})
        self._exporter = _Telling(endpoint, _silenced())
        try:
            self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        except ValueError as error:
            raise TelemetryUnusable(f"the variables OTEL_… say something that cannot be: {error}") from error
        self.tracer: Tracer = self._provider.get_tracer("interop_server", __version__)
        """Makes spans."""

    def watch(self, journal: Journal) -> Callable[[], Awaitable[None]]:
        """Adds every decision to the span in which it falls; returns a function that ends that."""
        stop = journal.subscribe(_add_event, lambda _: None)

        async def end() -> None:
            stop()

        return end

    async def close(self) -> None:
        """Sends what is left, or gives it up soon when nobody takes it."""
        over, loop = asyncio.Event(), asyncio.get_running_loop()

        def flush() -> None:
            self._provider.shutdown()
            loop.call_soon_threadsafe(over.set)

        # Not a thread of the loop's: it would wait for it at its end, however long that takes.
        threading.Thread(target=flush, name="last spans", daemon=True).start()
        for seconds, then in ((FLUSH_SECONDS, self._exporter.give_up), (ABORT_SECONDS, lambda: None)):
            try:
                async with asyncio.timeout(seconds):
                    await over.wait()
                return
            except TimeoutError:
                then()


class _Telling(SpanExporter):
    """Says once that spans are not taken, and once that they are again."""

    def __init__(self, endpoint: str, last_words: "_LastWords") -> None:
        self._exporter = OTLPSpanExporter(endpoint=endpoint)
        self._endpoint = endpoint
        self._last_words = last_words
        self._is_failing = False
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends spans; tried again for a while."""
        result = self._exporter.export(spans)
        self._note(is_failing=result is not SpanExportResult.SUCCESS)
        return result

    def _note(self, *, is_failing: bool) -> None:
        with self._lock:
            is_new, self._is_failing = is_failing is not self._is_failing, is_failing
        if is_new and is_failing:
            words = self._last_words.words[:_MAX_REASON]
            _log.warning("spans are lost: %s does not take them%s", self._endpoint, words and f" ({words})")
        elif is_new:
            _log.info("spans: %s takes them again", self._endpoint)

    def give_up(self) -> None:
        """Sends nothing more: what is under way fails."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
        self._note(is_failing=True)

    def shutdown(self) -> None:
        """Ends."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Does nothing: nothing is kept here."""
        return True


class _LastWords(logging.Handler):
    """Keeps what was logged last, and writes it nowhere."""

    words = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record's message."""
        self.words = record.getMessage()


def _silenced() -> _LastWords:
    """Returns what has the last word of the exporter.

    By themselves these packages log every attempt to send, and what any caller puts into `traceparent`.
    """
    last_words = _LastWords()
    for name, handler in (("opentelemetry.exporter", last_words), ("opentelemetry", logging.NullHandler())):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.handlers = [handler]
    return last_words


def _add_event(entry: JournalEntry) -> None:
    span = get_current_span()
    if not span.is_recording():  # what a timer decides falls in no span
        return
    about = {f"interopsim.{name}": value for name, value in entry._asdict().items() if name != "action" and value != ""}
    span.add_event(entry.action, about)
    if entry.reason:
        span.set_attributes({"interopsim.reason": entry.reason, "interopsim.requirement": entry.requirement})
