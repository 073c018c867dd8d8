"""The fault service on the admin port: converts, calls one rule, answers; knows nothing of what a fault does."""

from interop_api.admin.v1alpha1 import faults_pb2 as pb
from interop_api.admin.v1alpha1 import faults_pb2_grpc
from interop_server.fault_gate import FaultGate
from interop_server.rpc.calls import Context
from interop_server.rpc.convert.faults import faults_from, state_to


class FaultServicer(faults_pb2_grpc.FaultServiceServicer):
    """See FaultService in faults.proto."""

    def __init__(self, gate: FaultGate) -> None:
        self._gate = gate
        self._faults = gate.faults

    async def AddFaults(self, request: pb.AddFaultsRequest, context: Context) -> pb.AddFaultsResponse:
        """Adds faults."""
        self._faults.add(faults_from(request.faults))
        return pb.AddFaultsResponse()

    async def ListFaults(self, request: pb.ListFaultsRequest, context: Context) -> pb.ListFaultsResponse:
        """Lists faults with what became of them."""
        states = [state_to(each, self._gate.held(each.rule.name)) for each in self._faults.ordered()]
        return pb.ListFaultsResponse(faults=states, never_fired=self._faults.never_fired())

    async def ReleaseFault(self, request: pb.ReleaseFaultRequest, context: Context) -> pb.ReleaseFaultResponse:
        """Lets go on what a fault holds."""
        name = self._faults.named(request.name).rule.name
        return pb.ReleaseFaultResponse(released=self._gate.release((name,)))

    async def ClearFaults(self, request: pb.ClearFaultsRequest, context: Context) -> pb.ClearFaultsResponse:
        """Removes faults."""
        cleared = self._faults.clear(request.names)
        states = [state_to(each, self._gate.held(each.rule.name)) for each in cleared]
        self._gate.release(each.rule.name for each in cleared)
        return pb.ClearFaultsResponse(faults=states)
