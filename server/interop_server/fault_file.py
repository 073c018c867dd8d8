"""The faults of `interopsim up --faults FILE`, checked before anything starts; knows nobody who carries them out."""

from functools import cache
from pathlib import Path

from interop_api.admin.v1alpha1 import faults_pb2
from interop_protocol.fault_files import FaultFile
from interop_server.core.errors import Refusal
from interop_server.core.fault_checks import checked_all
from interop_server.core.fault_rules import Catalogue, FaultRule
from interop_server.ledger import load_ledger
from interop_server.rpc.convert.faults import catalogue, faults_from


@cache
def known_catalogue() -> Catalogue:
    """Returns what there is on the edges of this server."""
    return catalogue(load_ledger().rows)


def load_faults(path: Path) -> tuple[FaultRule, ...]:
    """Returns the faults of a file.

    Raises:
        FaultFileWrong: It cannot be read, or holds a fault that makes no sense; the message says in which line.
    """
    file = FaultFile.read(path)
    request = faults_pb2.AddFaultsRequest()
    file.write(request.faults)
    try:
        return tuple(checked_all(faults_from(request.faults), known_catalogue()))
    except Refusal as refusal:
        [violation] = refusal.violations
        raise file.wrong(violation.field, violation.description) from refusal
