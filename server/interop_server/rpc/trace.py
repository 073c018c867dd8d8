"""The trace service on the admin port: filters and streams; knows no channel and no stanza."""

from collections.abc import Mapping

from interop_api.admin.v1alpha1 import trace_pb2 as pb
from interop_api.admin.v1alpha1 import trace_pb2_grpc
from interop_server.core.ports import Clock
from interop_server.core.trace import Direction, Trace, TraceEntry
from interop_server.rpc.calls import Context
from interop_server.rpc.others import Others, Recorded
from interop_server.rpc.reading import following, read_on

_DIRECTIONS: Mapping[Direction, pb.TraceDirection.ValueType] = {
    "to_server": pb.TRACE_DIRECTION_TO_SERVER,
    "to_client": pb.TRACE_DIRECTION_TO_CLIENT,
}


class TraceServicer(trace_pb2_grpc.TraceServiceServicer):
    """See TraceService in trace.proto."""

    def __init__(self, trace: Trace, clock: Clock, others: Others | None = None) -> None:
        self._trace = trace
        self._clock = clock
        self._others = others
        self._recorded = Recorded(
            "TraceService.ReadTrace",
            trace,
            pb.ReadTraceRequest,
            pb.ReadTraceResponse,
            _matches,
            self._response,
            is_for_followers=True,
        )
        if others is not None:
            others.share(self._recorded)

    async def ReadTrace(  # type: ignore[override]  # the coroutine form of grpc.aio: it writes to the context
        self, request: pb.ReadTraceRequest, context: Context
    ) -> None:
        """Streams entries, oldest first."""
        after = self._trace.resume_after(request.resume_token)
        with following(self._trace, request.follow) as grown:
            await context.write(pb.ReadTraceResponse(is_kept=self._trace.is_kept))
            if self._others is not None and not request.this_node_only:
                async for response in self._others.read(self._recorded, request):
                    await context.write(response)
                return
            found = read_on(self._trace, self._clock, after, lambda entry: _matches(entry, request), grown)
            async for entry, missed in found:
                await context.write(self._response(entry, missed))

    def _response(self, entry: TraceEntry, missed: int) -> pb.ReadTraceResponse:
        return pb.ReadTraceResponse(entry=self._entry_to(entry), missed=missed)

    def _entry_to(self, entry: TraceEntry) -> pb.TraceEntry:
        return pb.TraceEntry(
            number=entry.number,
            at_ms=entry.at_ms,
            connection=entry.connection,
            jid=entry.jid,
            direction=_DIRECTIONS[entry.direction],
            kind=entry.kind,
            size_bytes=entry.size,
            frame_bytes=entry.frame_size,
            position=entry.position,
            content_json=entry.content,
            is_shortened=entry.is_shortened,
            resume_token=self._trace.resume_token(entry.number),
            node=self._trace.origin.node,
        )


def _matches(entry: TraceEntry, request: pb.ReadTraceRequest) -> bool:
    return request.jid in ("", entry.jid)
