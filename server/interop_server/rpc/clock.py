"""The clock service on the admin port: converts, calls one rule, answers; knows no rule itself."""

from collections.abc import Mapping

from interop_api.admin.v1alpha1 import clock_pb2 as pb
from interop_api.admin.v1alpha1 import clock_pb2_grpc
from interop_server.core.operator.clock_control import ClockControl
from interop_server.rpc.calls import Context


class ClockServicer(clock_pb2_grpc.ClockServiceServicer):
    """See ClockService in clock.proto."""

    def __init__(self, control: ClockControl) -> None:
        self._control = control

    async def GetClock(self, request: pb.GetClockRequest, context: Context) -> pb.GetClockResponse:
        """Returns the time, and where it is being moved to."""
        move = self._control.clock.move
        return pb.GetClockResponse(clock=self._clock(), move=None if move is None else pb.ClockMove(**move._asdict()))

    async def FreezeClock(self, request: pb.FreezeClockRequest, context: Context) -> pb.FreezeClockResponse:
        """Stops the clock."""
        fired = await self._control.freeze(request.at_ms if request.HasField("at_ms") else None)
        return pb.FreezeClockResponse(clock=self._clock(), fired=_fired_to(fired))

    async def AdvanceClock(self, request: pb.AdvanceClockRequest, context: Context) -> pb.AdvanceClockResponse:
        """Moves time forward."""
        fired = await self._control.advance(request.advance_ms)
        return pb.AdvanceClockResponse(clock=self._clock(), fired=_fired_to(fired))

    async def ResumeClock(self, request: pb.ResumeClockRequest, context: Context) -> pb.ResumeClockResponse:
        """Lets the clock run on."""
        await self._control.resume()
        return pb.ResumeClockResponse(clock=self._clock())

    def _clock(self) -> pb.ClockState:
        clock = self._control.clock
        return pb.ClockState(now_ms=clock.now_ms(), is_frozen=clock.is_frozen)


def _fired_to(fired: Mapping[str, int]) -> list[pb.FiredTimers]:
    return [pb.FiredTimers(name=name, count=count) for name, count in fired.items()]
