"""What the people of a workbench do when somebody writes to them, seen from the other side."""

from pathlib import Path

import pytest

from interop_client.errors import ServerRefusal
from interop_client.media.upload import media_host
from interop_client.messaging.events import (
    IdentityChanged,
    MediaReceived,
    ReactionReceived,
    ReceiptReceived,
    TextReceived,
    TrustedContact,
)
from tests.e2e.workbench.conftest import People


async def test_echo_answers_with_what_came(people: People, tmp_path: Path, png: bytes) -> None:
    """A text in a reply, an edit, a reaction, a picture; and reads it all."""
    echo, bob = await people.person("echo"), await people.user()
    sent = await bob.send_text(echo.phone.jid, "Hello")
    answer = await bob.wait_for(TextReceived)
    assert (answer.text, answer.reply_to) == ("Hello", sent.id)
    assert (await bob.wait_for(lambda event: isinstance(event, ReceiptReceived) and event.is_read)).message_ids == (
        sent.id,
    )
    await bob.send_edit(echo.phone.jid, sent.id, "Hello!")
    assert (await bob.wait_for(TextReceived)).text == "Hello!"
    await bob.send_reaction(echo.phone.jid, answer.id, "👍")
    reaction = await bob.wait_for(ReactionReceived)
    assert (reaction.target_id, reaction.emoji) == (answer.id, "👍")
    picture = tmp_path / "dot.png"
    picture.write_bytes(png)
    await bob.send_image(echo.phone.jid, picture, media_host(people.world.partner.media_url), caption="a dot")
    back = await bob.wait_for(MediaReceived)
    await bob.download(back.media, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == png and back.media.name == "a dot"
    shown = echo.phone.chats[bob.jid]
    assert shown.title == "bob" and not shown.unread() and shown.request_state == "accepted"
    assert any(message.file and message.file.is_picture for message in shown.messages.values())


async def test_a_script_accepts_and_talks_along_its_lines(people: People) -> None:
    """To each peer from the beginning, and then no more."""
    ada = await people.person("script", lines=("one", "two"))
    bob, carol = await people.user("bob"), await people.user("carol")
    await bob.send_text(ada.phone.jid, "?")
    assert (await bob.wait_for(TrustedContact)).jid == ada.phone.jid
    assert (await bob.wait_for(TextReceived)).text == "one"
    await carol.send_text(ada.phone.jid, "?")
    assert (await carol.wait_for(TextReceived)).text == "one"
    await bob.send_text(ada.phone.jid, "??")
    assert (await bob.wait_for(TextReceived)).text == "two"
    last = await bob.send_text(ada.phone.jid, "???")
    await bob.wait_for(
        lambda event: isinstance(event, ReceiptReceived) and event.is_read and last.id in event.message_ids
    )
    assert len([each for each in ada.phone.chats[bob.jid].messages.values() if each.is_own]) == 2


async def test_who_has_not_opted_in_cannot_be_reached(people: People) -> None:
    """Until they opt in, which they can be told to."""
    rejecta, bob = await people.person(opted_in=False), await people.user()
    with pytest.raises(ServerRefusal) as refused:
        await bob.send_text(rejecta.phone.jid, "Hello?")
    assert refused.value.reason == "RECIPIENT_NOT_REACHABLE"
    await bob.send_reachability_ping(rejecta.phone.phone_number, "Bob")
    await people.until(lambda: bool(rejecta.phone.notices))
    assert "Bob" in rejecta.phone.notices[0].text
    await rejecta.opt_in([])
    assert rejecta.phone.integrators and rejecta.phone.has_accepted_terms
    await bob.send_text(rejecta.phone.jid, "Hello!")
    await people.until(lambda: bob.jid in rejecta.phone.chats)


async def test_a_late_reader_reads_late(people: People) -> None:
    """Delivered first, read after their while."""
    slow, bob = await people.person("late", seconds=0.3), await people.user()
    await bob.send_text(slow.phone.jid, "Hello")
    delivered = await bob.wait_for(ReceiptReceived)
    assert not delivered.is_read
    assert (await bob.wait_for(ReceiptReceived)).is_read


async def test_a_blocker_reads_once(people: People) -> None:
    """Then the sender is blocked, and the server does not say so (ABU-02)."""
    blocker, bob = await people.person("block"), await people.user()
    await bob.send_text(blocker.phone.jid, "Hello")
    await people.until(lambda: blocker.phone.chat(bob.jid).is_blocked)
    assert await blocker.client.get_blocklist() == [bob.jid]
    await blocker.unblock(bob.jid)
    assert not blocker.phone.chats[bob.jid].is_blocked


async def test_a_chatterer_goes_on_until_it_is_refused(people: People) -> None:
    """Line after line, to whoever has written."""
    chatty, bob = await people.person("chatter", seconds=0.05, lines=("one", "two")), await people.user()
    await bob.send_text(chatty.phone.jid, "Hello")
    heard = [(await bob.wait_for(TextReceived)).text for _ in range(3)]
    assert heard == ["one", "two", "one"]
    await bob.delete_account()
    await people.until(lambda: any(each.tick == "failed" for each in chatty.phone.chats[bob.jid].messages.values()))


async def test_a_rotator_changes_keys(people: People) -> None:
    """After every second message here: the peer is told, and they go on with a new session (KEY-17)."""
    rotator, bob = await people.person("rotate", every=2), await people.user()
    for number in (1, 2, 3):
        await bob.send_text(rotator.phone.jid, f"Hello {number}")
        assert (await bob.wait_for(TextReceived)).text == f"That was message {number}."
        if number == 2:
            assert (await bob.wait_for(IdentityChanged)).jid == rotator.phone.jid


async def test_who_is_away_gets_it_all_later(people: People) -> None:
    """Offline until told; what has waited comes, and is answered."""
    away, bob = await people.person("echo", online=False), await people.user()
    await bob.send_text(away.phone.jid, "Are you there?")
    assert not away.phone.is_online and not away.phone.chats
    await away.go_online()
    assert (await bob.wait_for(TextReceived)).text == "Are you there?"
    await away.go_offline()
    await away.go_offline()
    assert not away.phone.is_online
