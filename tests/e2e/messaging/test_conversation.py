"""The main job: two people on two messengers talk, end to end encrypted, through a running simulator."""

import pytest

from interop_client.messaging.events import ReceiptReceived, TextReceived
from tests.e2e.conftest import World


@pytest.mark.requirement("MSG-07", "RCP-01", "ABU-04")
async def test_a_text_its_answer_and_their_receipts_go_both_ways(world: World) -> None:
    """Bob writes, Alice answers, and each learns that the other has received and read (MSG-07, RCP-01)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")

    sent = await bob.send_text(alice.jid, "Hello Alice")
    received = await alice.wait_for(TextReceived)
    assert (received.sender, received.id, received.text) == (bob.jid, sent.id, "Hello Alice")
    assert received.evidence is not None, "what Bob wrote cannot be proved to the server"
    delivered = await bob.wait_for(ReceiptReceived)
    assert (delivered.message_ids, delivered.is_read) == ((sent.id,), False)
    await alice.mark_read(received)
    assert (await bob.wait_for(ReceiptReceived)).is_read

    answer = await alice.send_text(bob.jid, "Hello Bob", reply_to=received)
    heard = await bob.wait_for(TextReceived)
    assert (heard.id, heard.text, heard.reply_to) == (answer.id, "Hello Bob", sent.id)
    assert heard.evidence is not None
