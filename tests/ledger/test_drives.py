"""Both clients drive every call and every stanza of the contract, but for what docs/clients.md gives a reason for."""

import pytest
from google.protobuf import descriptor_pb2

from tests.evidence import Driven, Evidence
from tests.ledger import drives


def test_the_contract_has_calls_and_stanzas() -> None:
    """What finds them finds them, each the ways that it goes."""
    keys = [row.key for row in drives.rows()]
    assert len(keys) == len({*keys}) > 60
    assert {"ChatService.Connect", "MediaService.Upload", "client_hello sent", "server_hello taken"} <= {*keys}
    assert {"message sent", "message taken", "ack sent", "notification.prekeys_low taken"} <= {*keys}
    assert not {"ack taken", "login_success sent"} & {*keys}


@pytest.mark.parametrize("client", drives.CLIENTS)
def test_a_client_drives_what_the_page_says(evidence: Evidence, client: str) -> None:
    """And it drives nothing for which the page says why it does not."""
    if (driven := evidence.driven.get(client)) is None:
        name = drives.CLIENTS[client]
        pytest.skip(f"the client in {name} did not run here: its column in docs/clients.md is as it was committed")
    assert drives.lacking(client, driven) == [], f"no test has the client in {drives.CLIENTS[client]} do this"
    assert drives.without_need(client, driven) == [], "the client does this after all: take it out of drives.toml"


def test_python_has_run(evidence: Evidence) -> None:
    """It needs nothing that a machine could lack."""
    assert "python" in evidence.driven


def test_reasons_are_of_what_there_is() -> None:
    """A call that is gone needs none, and each says why."""
    assert drives.strangers() == []
    assert all(each.reason for each in drives.exceptions().values())


def test_what_nobody_drives_is_noticed() -> None:
    """A check that finds everything right proves nothing."""
    driven = Driven(*({row.name for row in drives.rows() if row.way == way} for way in ("calls", "sent", "taken")))
    assert drives.lacking("python", driven) == []
    assert drives.without_need("python", driven) == [*drives.exceptions()]
    driven.calls.remove("InteropService.Resolve")
    driven.taken.remove("message")
    assert drives.lacking("python", driven) == ["InteropService.Resolve", "message taken"]


def test_a_stanza_that_does_not_say_which_way_it_goes_is_noticed() -> None:
    """Otherwise it would be in no row."""
    with pytest.raises(drives.DirectionUntold, match="wave"):
        drives.ways("wave", " Says hello.")
    file = descriptor_pb2.FileDescriptorProto()
    stanza = file.message_type.add(name="Stanza")
    stanza.oneof_decl.add(name="kind")
    stanza.field.add(name="wave", oneof_index=0)
    with pytest.raises(drives.DirectionUntold):
        list(drives.stanza_rows(file))
