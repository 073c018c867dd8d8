"""The fault service on the admin port: converts, calls one rule, answers; knows nothing of what a fault does."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.message import Message

from interop_api.admin.v1alpha1 import faults_pb2 as pb
from interop_api.admin.v1alpha1 import faults_pb2_grpc
from interop_server.core.errors import Reason, Refusal
from interop_server.fault_gate import FaultGate
from interop_server.rpc.calls import Context
from interop_server.rpc.convert.faults import fault_to, faults_from, state_to
from interop_server.rpc.others import Others, Told, answering, ask_all


class FaultServicer(faults_pb2_grpc.FaultServiceServicer):
    """See FaultService in faults.proto. Of several nodes, whichever is asked does for all what it does for itself."""

    def __init__(self, gate: FaultGate, others: Others | None = None) -> None:
        self._gate = gate
        self._faults = gate.faults
        self._others = others
        if others is not None:
            others.answer_with("FaultService.AddFaults", answering(self.AddFaults, pb.AddFaultsRequest))
            others.answer_with("FaultService.ListFaults", answering(self.ListFaults, pb.ListFaultsRequest))
            others.answer_with("FaultService.ReleaseFault", answering(self.ReleaseFault, pb.ReleaseFaultRequest))
            others.answer_with("FaultService.ClearFaults", answering(self.ClearFaults, pb.ClearFaultsRequest))

    async def AddFaults(self, request: pb.AddFaultsRequest, context: Context) -> pb.AddFaultsResponse:
        """Adds faults, at all nodes or at none."""
        rules = faults_from(request.faults)
        added = self._faults.add(rules)
        if request.this_node_only or self._others is None:
            return pb.AddFaultsResponse()
        asked = pb.AddFaultsRequest(faults=map(fault_to, added), this_node_only=True)
        told = await ask_all(self._others, "FaultService.AddFaults", asked, pb.AddFaultsResponse)
        if told.refusals:
            await self._take_back([rule.name for rule in added], told)
            node, refusal = min(told.refusals.items())
            raise Refusal(refusal.reason, f"at {node}: {refusal.detail}", requirement="SIM-01")
        return pb.AddFaultsResponse(silent_nodes=told.silent)

    async def _take_back(self, names: Sequence[str], told: Told) -> None:
        assert self._others is not None
        self._faults.clear(names)
        request = pb.ClearFaultsRequest(names=names, this_node_only=True).SerializeToString()
        asked = (self._others.ask(node, "FaultService.ClearFaults", request) for node in told.answers)
        await asyncio.gather(*asked, return_exceptions=True)

    async def ListFaults(self, request: pb.ListFaultsRequest, context: Context) -> pb.ListFaultsResponse:
        """Lists faults with what became of them."""
        states = [state_to(each, self._gate.held(each.rule.name)) for each in self._faults.ordered()]
        own = pb.ListFaultsResponse(faults=states, never_fired=self._faults.never_fired())
        if request.this_node_only or self._others is None:
            return own
        asked = pb.ListFaultsRequest(this_node_only=True)
        told = await ask_all(self._others, "FaultService.ListFaults", asked, pb.ListFaultsResponse)
        answers: list[pb.ListFaultsResponse] = [own, *told.answers.values()]
        faults = _summed(state for answer in answers for state in answer.faults)
        fired = {state.fault.name for state in faults if state.fired}
        idle = dict.fromkeys(name for answer in answers for name in answer.never_fired if name not in fired)
        return pb.ListFaultsResponse(faults=faults, never_fired=idle, silent_nodes=told.silent)

    async def ReleaseFault(self, request: pb.ReleaseFaultRequest, context: Context) -> pb.ReleaseFaultResponse:
        """Lets go on what a fault holds."""
        if request.this_node_only or self._others is None:
            return self._release(request.name)
        asked = pb.ReleaseFaultRequest(name=request.name, this_node_only=True)
        told = await self._tell("FaultService.ReleaseFault", asked, pb.ReleaseFaultResponse)
        found = _known(lambda: self._release(request.name), told)
        return pb.ReleaseFaultResponse(released=sum(each.released for each in found), silent_nodes=told.silent)

    def _release(self, name: str) -> pb.ReleaseFaultResponse:
        name = self._faults.named(name).rule.name
        return pb.ReleaseFaultResponse(released=self._gate.release((name,)))

    async def ClearFaults(self, request: pb.ClearFaultsRequest, context: Context) -> pb.ClearFaultsResponse:
        """Removes faults."""
        if request.this_node_only or self._others is None:
            return self._clear(request.names)
        asked = pb.ClearFaultsRequest(names=request.names, this_node_only=True)
        told = await self._tell("FaultService.ClearFaults", asked, pb.ClearFaultsResponse)
        found = _known(lambda: self._clear(request.names), told)
        states = _summed(state for each in found for state in each.faults)
        return pb.ClearFaultsResponse(faults=states, silent_nodes=told.silent)

    def _clear(self, names: Sequence[str]) -> pb.ClearFaultsResponse:
        cleared = self._faults.clear(names)
        states = [state_to(each, self._gate.held(each.rule.name)) for each in cleared]
        self._gate.release(each.rule.name for each in cleared)
        return pb.ClearFaultsResponse(faults=states)

    async def _tell(self, method: str, request: Message, response: type[Message]) -> Told:
        assert self._others is not None
        return await ask_all(self._others, method, request, response)


def _known(own: Any, told: Told) -> list[Any]:
    """Returns what this node and others say of faults that not each of them needs to have.

    Raises:
        Refusal: NOT_REGISTERED: none has them.
    """
    try:
        return [own(), *told.answers.values()]
    except Refusal as refusal:
        if refusal.reason is not Reason.NOT_REGISTERED or not told.answers:
            raise
        return list(told.answers.values())


def _summed(states: Iterable[pb.FaultState]) -> list[pb.FaultState]:
    """Returns each fault once, with what became of it at all nodes."""
    found: dict[str, pb.FaultState] = {}
    for state in states:
        if (known := found.get(state.fault.name)) is None:
            found[state.fault.name] = known = pb.FaultState(fault=state.fault)
        known.matched += state.matched
        known.fired += state.fired
        known.held += state.held
    return list(found.values())
