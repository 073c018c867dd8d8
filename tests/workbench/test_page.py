"""The page of a simulator with people, in a real Chromium: what it shows, and what can be done from it."""

from contextlib import suppress
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect
from playwright.async_api import TimeoutError as NotInTime

from interop_admin.client import AdminClient
from interop_client.errors import ServerRefusal
from interop_client.messaging.events import ReactionReceived, TextReceived, Typing
from interop_client.state import ClientState
from interop_client.whatsapp import WhatsAppClient
from interop_workbench.feed import BATCH_ENTRIES
from tests.browser import LEAST_CONTRAST, TEXTS, TOO_WIDE, WIDTHS
from tests.workbench.conftest import OpenPage
from tests.workbench.people import Running, running
from tests.workbench.story import tell

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]

VIEWS = ("Phones", "Journal", "Wire", "Time", "Faults", "Messengers")


async def focus(page: Page, name: str) -> Locator:
    """Puts a person in focus, and returns their phone."""
    await page.locator(".person", has_text=name).click()
    await expect(page.get_by_role("heading", name=f"What {name} sees")).to_be_visible()
    return page.locator("#phone")


async def open_chat(phone: Locator, title: str) -> None:
    """Opens a chat of the phone in focus, whether the list is shown or a chat."""
    back = phone.get_by_role("button", name="Back to the chats")
    await expect(phone.locator(".chat, .back").first).to_be_visible()
    if await back.is_visible():
        await back.click()
    await phone.locator(".chat", has_text=title).click()


async def test_a_conversation_is_seen_on_the_phone_and_only_its_envelopes_on_the_server(
    bench: Running, open_page: OpenPage, tmp_path: Path
) -> None:
    """Texts, a reply, a reaction, an edit, a deletion, a picture, receipts and typing are on the phone; the server has
    who, when and how much."""
    page = await open_page(bench.page)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    bob, told = await tell(bench, tmp_path)
    phone = await focus(page, "Ada")
    await open_chat(phone, "bob")
    messages = phone.locator(".message")
    hello = messages.filter(has_text="Hello Ada, this is Bob").first
    await expect(hello).to_have_class("message is-theirs ")
    answer = messages.filter(has_text="Hello! I am Ada.").first
    await expect(answer.locator(".quote")).to_contain_text("Hello Ada, this is Bob")
    await expect(answer.get_by_label("Reactions")).to_contain_text("👍")
    await expect(answer.get_by_label("Read", exact=True)).to_be_visible()
    edited = messages.filter(has_text="sunrise from where").first
    await expect(edited.locator(".meta")).to_contain_text("edited")
    await expect(messages.filter(has_text="This message was deleted.")).to_have_count(1)
    await expect(phone).not_to_contain_text("Wrong chat")
    picture = phone.get_by_role("img", name="From my window")
    await expect(picture).to_be_visible()
    await page.wait_for_function("document.querySelector('.picture').naturalWidth === 320")
    await bob.send_typing(bench.jid("Ada"))
    await expect(phone.locator(".typing")).to_contain_text("bob is typing")

    server = page.locator("#server")
    await expect(server.locator(".envelope", has_text=told.hello).filter(has_text="prekey message")).to_have_count(1)
    await expect(server.locator(".sealed", has_text="double ratchet").first).to_be_visible()
    await expect(server.locator(".figures")).to_contain_text("99")
    seen = await server.inner_text()
    assert not [text for text in ("Hello", "sunrise", "Wrong chat", "👍") if text in seen]

    await hello.click()
    await expect(server.locator(".envelope.is-selected", has_text=told.hello).first).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(server.locator(".is-selected")).to_have_count(0)
    await expect(phone.locator(".typing")).to_be_hidden(timeout=60_000)


async def test_a_chat_that_is_over_shows_its_envelopes(open_page: OpenPage, tmp_path: Path) -> None:
    """Also when nobody watched it, and much has gone over the wire since."""
    async with running(tmp_path, "--people") as alone:
        bob, told = await tell(alone, tmp_path)
        echo = alone.jid("Echo")
        for number in range(BATCH_ENTRIES // 4):  # each is a message, an answer, and receipts
            await bob.send_text(echo, f"number {number}")
            await bob.wait_for(lambda event: isinstance(event, TextReceived) and event.sender == echo)
        page = await open_page(f"{alone.page}#phones/Ada", allowed=("net::ERR_", "status of 404", "status of 503"))
        server = page.locator("#server")
        await expect(server.locator(".envelope", has_text=told.hello).filter(has_text="prekey message")).to_have_count(
            1
        )
        await expect(server.locator(".envelope", has_text=told.answer).first).to_be_visible()
        # What comes from now on is added, once.
        asked = await bob.send_text(alone.jid("Ada"), "One more")
        await expect(server.locator(".envelope", has_text=asked.id).filter(has_text="message").first).to_be_visible()
        await page.reload()
        before = server.locator(".envelope", has_text=told.hello).filter(has_text="prekey message")
        await expect(before).to_have_count(1)
        async with AdminClient(alone.endpoint) as admin:
            await admin.reset()
        await expect(server.locator(".envelope", has_text=told.hello)).to_have_count(0)


async def test_a_person_writes_answers_and_reacts_from_the_page(bench: Running, open_page: OpenPage) -> None:
    """What is written in the composer is sent by the person's own client, as an answer if that is chosen."""
    bob = await bench.user("bob-of-control")
    asked = await bob.send_text(bench.jid("Ada"), "What is the machine called?")
    page = await open_page(bench.page)
    phone = await focus(page, "Ada")
    await open_chat(phone, "bob-of-control")
    await bob.wait_for(TextReceived)  # the script's
    message = phone.locator(".message", has_text="What is the machine called?").first
    await message.click()
    await message.get_by_role("button", name="React 😂").click()
    assert (await bob.wait_for(ReactionReceived)).target_id == asked.id
    field = phone.get_by_label("Message to bob-of-control")
    await field.fill("The Analytical")
    await message.get_by_role("button", name="Reply").click()
    await expect(phone.locator(".answered")).to_be_visible()
    await expect(field).to_have_value("The Analytical")  # what is written stays when the foot of the chat is made anew
    await field.fill("The Analytical Engine")
    assert (await bob.wait_for(Typing)).sender == bench.jid("Ada")
    await field.press("Enter")
    got = await bob.wait_for(TextReceived)
    assert (got.text, got.reply_to) == ("The Analytical Engine", asked.id)
    own = phone.locator(".message.is-own", has_text="The Analytical Engine")
    await expect(own.get_by_label("Delivered")).to_be_visible()
    await bob.mark_read(got)
    await expect(own.get_by_label("Read", exact=True)).to_be_visible()
    await expect(field).to_have_value("")


async def test_a_person_begins_a_chat_from_the_page(bench: Running, open_page: OpenPage) -> None:
    """A user of the messenger is found by name; nobody is found by a name that nobody has, which the page tells."""
    bob = await bench.user("bob-of-nobody")
    page = await open_page(f"{bench.page}#phones/Rotator", allowed=("status of 409",))
    phone = page.locator("#phone")
    await expect(phone.locator(".new-chat, .back").first).to_be_visible()
    if await phone.locator(".back").count():
        await phone.locator(".back").click()
    await phone.get_by_label("Whom to write to").fill("nobody-at-all")
    await phone.get_by_label("First message").fill("Good morning")
    await phone.get_by_role("button", name="Send").click()
    await expect(page.get_by_role("alert")).to_contain_text("does not find")
    await phone.get_by_label("Whom to write to").fill("bob-of-nobody")
    await phone.get_by_role("button", name="Send").click()
    assert (await bob.wait_for(TextReceived)).text == "Good morning"
    await expect(phone.locator(".message.is-own")).to_contain_text("Good morning")


async def test_requests_blocks_and_opting_out_show_on_the_phone(bench: Running, open_page: OpenPage) -> None:
    """A request is in a section of its own until it is answered; blocked and opted out, nobody can write."""
    bob = await bench.user("bob-who-asks")
    await bob.send_text(bench.jid("Slow"), "May I?")
    page = await open_page(bench.page)
    phone = await focus(page, "Slow")
    await expect(phone.get_by_text("bob-who-asks would like to write to you.")).to_be_visible()
    await phone.get_by_role("button", name="Back to the chats").click()
    await expect(phone.locator(".is-requests .chat")).to_contain_text("bob-who-asks")
    await phone.locator(".chat", has_text="bob-who-asks").click()
    await phone.get_by_role("button", name="Accept").click()
    await expect(phone.get_by_label("Message to bob-who-asks")).to_be_visible()

    menu = phone.get_by_label("What can be done with this chat")
    await menu.click()
    await phone.get_by_role("button", name="Block", exact=True).click()
    await expect(phone.locator(".sentence")).to_contain_text("bob-who-asks is blocked")
    await menu.click()
    await phone.get_by_role("button", name="Unblock").click()
    await expect(phone.locator("textarea")).to_be_visible()

    await phone.get_by_role("button", name="Back to the chats").click()
    await expect(phone.get_by_role("heading", name="Third-party chats")).to_be_visible()
    await phone.get_by_label("What Slow does").click()
    await phone.get_by_role("button", name="Make the inbox combined").click()
    await expect(phone.locator(".is-chats .chat .label")).to_have_text("Pigeon")
    await phone.get_by_label("What Slow does").click()
    await phone.get_by_role("button", name="Turn off third-party chats").click()
    await expect(phone.locator(".is-off")).to_be_visible()
    await phone.locator(".chat", has_text="bob-who-asks").click()
    await expect(phone.locator(".sentence")).to_contain_text("can only be read")
    await expect(phone.locator("textarea")).to_have_count(0)


async def test_changed_keys_are_warned_of_until_they_are_accepted(bench: Running, open_page: OpenPage) -> None:
    """A peer's new phone shows as a warning in the chat with them, which goes on once the new key is accepted."""
    old = await bench.user("bob-of-two-phones")
    await old.send_text(bench.jid("Echo"), "From my old phone")
    await old.wait_for(TextReceived)
    await old.close()
    page = await open_page(f"{bench.page}#phones/Echo")
    phone = page.locator("#phone")
    await open_chat(phone, "bob-of-two-phones")
    new = await bench.user("bob-of-two-phones")
    await expect(phone.locator(".warning")).to_contain_text("security code has changed")
    await phone.get_by_role("button", name="Accept their new key").click()
    await expect(phone.locator(".warning")).to_have_count(0)
    await new.send_text(bench.jid("Echo"), "From my new phone")
    await expect(phone.locator(".message.is-theirs", has_text="From my new phone")).to_be_visible()


async def test_without_people_the_page_shows_the_envelopes_of_everybody(open_page: OpenPage, tmp_path: Path) -> None:
    """`--ui` alone shows what the server sees of clients that run elsewhere."""
    async with running(tmp_path, "--ui") as bench:
        page = await open_page(bench.page)
        await expect(page.locator("#phone")).to_contain_text("Nobody is here.")
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        await page.get_by_label("Also logins, acks and pings").check()
        state = ClientState.generate()
        async with AdminClient(bench.endpoint.admin) as admin:
            state.jid = await admin.put_whatsapp_user("+31612345678", state.auth_public_key)
        async with WhatsAppClient.direct(bench.endpoint, state):
            await expect(page.locator("#server .envelope", has_text="login success")).to_contain_text(state.jid)
        await page.goto("about:blank")


async def test_the_clock_is_moved_from_the_page(bench: Running, open_page: OpenPage) -> None:
    """A day passes in a moment, and time stands still until it is let go on."""
    page = await open_page(f"{bench.page}#time", allowed=("status of 400",))
    clock = page.get_by_role("timer")
    before = (await clock.inner_text())[:10]
    await page.get_by_role("button", name="Freeze").click()
    await expect(page.locator("#clock")).to_contain_text("frozen")
    await page.get_by_role("button", name="+ 1 day").click()
    await expect(page.get_by_text("What fell due")).to_be_visible()
    await expect(clock).not_to_contain_text(before)
    await page.get_by_label("How far").fill("as long as it takes")
    await page.get_by_role("button", name="Advance", exact=True).click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator("#clock")).not_to_contain_text("frozen")


async def test_the_example_of_a_fault_holds_a_message_until_it_is_released(bench: Running, open_page: OpenPage) -> None:
    """The fault that the page proposes can be added, does what it says, and is cleared."""
    bob = await bench.user("bob-who-waits")
    page = await open_page(f"{bench.page}#faults/Away", allowed=("status of 4",))
    await page.get_by_role("button", name="Add", exact=True).click()
    card = page.locator(".card", has_text="held")
    await expect(card.locator(".figures")).to_contain_text("Fired")
    sent = await bob.send_text(bench.jid("Echo"), "Hold this")
    await card.get_by_role("button", name="Release").click()
    received = await bob.wait_for(TextReceived)
    assert (received.text, received.reply_to) == ("Hold this", sent.id)
    await card.get_by_role("button", name="Clear the fault held").click()
    await expect(page.get_by_text("No faults")).to_be_visible()
    await page.get_by_label("Faults in TOML").fill("[[faults]]\nname = 'nonsense'")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_role("alert")).to_be_visible()


async def test_a_messenger_is_suspended_from_the_page(bench: Running, open_page: OpenPage) -> None:
    """The messenger's status changes, and back."""
    page = await open_page(f"{bench.page}#messengers")
    card = page.locator(".card", has_text="Pigeon")
    await card.get_by_role("button", name="Suspend").click()
    await expect(card.locator(".label")).to_have_text("suspended")
    await card.get_by_role("button", name="Resume").click()
    await expect(card.locator(".label")).to_have_text("active")
    await card.get_by_role("button", name="Fetch its keys anew").click()
    await page.get_by_role("tab", name="Journal").click()
    await expect(page.locator("#journal .entry", has_text="AdminService.RefreshJwks").first).to_be_visible()


async def test_a_refusal_is_found_by_filters_and_explained(bench: Running, open_page: OpenPage) -> None:
    """Text, actor, outcome, reason and kind narrow the journal; a refusal tells why; a pause keeps what is shown."""
    page = await open_page(f"{bench.page}#journal")
    bob = await bench.user("bob-who-is-refused")
    with pytest.raises(ServerRefusal):
        await bob.send_text(bench.jid("Rejecta"), "Hello?")
    await page.get_by_label("Actor").fill(bob.jid)
    await page.get_by_label("Outcome").select_option("refused")
    await page.get_by_label("Reason").select_option("RECIPIENT_NOT_REACHABLE")
    await page.get_by_label("Text").fill(bench.jid("Rejecta"))
    entries = page.locator("#journal .entry")
    await expect(entries).to_have_count(1)
    await entries.get_by_role("button", name="Explain RECIPIENT_NOT_REACHABLE").click()
    await expect(entries).to_contain_text("What would have made it succeed")
    await expect(entries).to_contain_text("has not opted in")
    await page.keyboard.press("Escape")
    await expect(entries).not_to_contain_text("What would have made it succeed")
    await page.get_by_role("button", name="Pause").click()
    with pytest.raises(ServerRefusal):
        await bob.send_text(bench.jid("Rejecta"), "Hello again?")
    await expect(page.locator("#journal")).to_contain_text("newer entr")
    await expect(entries).to_have_count(1)
    await page.get_by_role("button", name="Go on").click()
    await expect(entries).to_have_count(2)
    await page.get_by_label("Kind").select_option("PreKeyService.TakePreKeyBundles")
    await expect(entries).to_have_count(2)

    await page.get_by_role("tab", name="Wire").click()
    await page.locator("#wire").get_by_label("Actor").fill(bob.jid)
    await page.locator("#wire").get_by_label("Kind").select_option("login_success")
    wire = page.locator("#wire .entry")
    await expect(wire).to_have_count(1)
    await wire.get_by_role("button", name="Open").click()
    await expect(wire.locator("pre")).to_contain_text("max_frame_bytes")


async def until_it_fits(page: Page) -> None:
    """Waits until nothing is wider than the page: at once, or when what has just been shown is laid out."""
    with suppress(NotInTime):
        await page.wait_for_function(f"({TOO_WIDE})().length === 0", timeout=10_000)
    assert await page.evaluate(TOO_WIDE) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
async def test_every_view_fits_and_can_be_read(
    width: str, scheme: str, bench: Running, open_page: OpenPage, tmp_path: Path
) -> None:
    """Nothing is wider than the page, and text stands out from its ground as WCAG AA wants it."""
    bob = await bench.user(f"bob-{width}-{scheme}")
    viewport = {"width": WIDTHS[width], "height": 900}
    page = await open_page(f"{bench.page}#phones/Echo", viewport=viewport, color_scheme=scheme)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await bob.send_text(bench.jid("Echo"), "Can you read this? " + "w" * 300)
    await open_chat(page.locator("#phone"), bob_title := f"bob-{width}-{scheme}")
    await page.locator(".message.is-own").first.click()
    await expect(page.locator(".envelope.is-selected").first).to_be_visible()
    for view in VIEWS:
        await page.get_by_role("tab", name=view).click()
        await expect(page.get_by_role("tabpanel", name=view)).to_be_visible()
        await until_it_fits(page)
        least, where = await page.evaluate(LEAST_CONTRAST, TEXTS)
        assert least >= 4.5, (view, where, bob_title)
        await page.screenshot(path=tmp_path / f"{width}-{scheme}-{view}.png")


async def test_the_page_is_used_by_keyboard(bench: Running, open_page: OpenPage) -> None:
    """Tab reaches views, people and chats, arrows go along a list, Enter opens, Escape closes; focus is visible."""
    bob = await bench.user("bob-of-keys")
    await bob.send_text(bench.jid("Echo"), "Find me")
    await bob.wait_for(TextReceived)
    page = await open_page(bench.page)
    await expect(page.locator(".person").first).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("tab", name="Phones")).to_be_focused()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Journal", selected=True)).to_be_focused()
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("Tab")
    await expect(page.locator(".person").first).to_be_focused()
    await page.keyboard.press("End")
    await page.keyboard.press("Home")
    await page.keyboard.press("Enter")
    phone = page.locator("#phone")
    await expect(page.get_by_role("heading", name="What Echo sees")).to_be_visible()
    await open_chat(phone, "bob-of-keys")
    message = phone.get_by_role("button", name="Message of bob-of-keys").first
    await message.focus()
    await page.keyboard.press("Enter")
    await expect(message).to_be_focused()
    await expect(message).to_have_attribute("aria-expanded", "true")
    assert await message.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    await page.keyboard.press("Escape")
    await expect(message).to_have_attribute("aria-expanded", "false")
    await page.keyboard.press("Escape")
    await expect(phone.locator(".chat").first).to_be_visible()


async def test_a_broken_stream_is_told_and_mended(bench: Running, open_page: OpenPage) -> None:
    """While nothing comes the page says so; when it can, it goes on."""

    async def prepare(page: Page) -> None:
        await page.route("**/api/events", lambda route: route.abort())

    page = await open_page(bench.page, prepare=prepare, allowed=("ERR_FAILED",))
    await expect(page.get_by_text("Connection lost. Trying again…")).to_be_visible()
    await page.unroute("**/api/events")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(page.locator(".person").first).to_be_visible()
