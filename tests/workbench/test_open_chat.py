"""What of a phone goes over to a page: the open chat, and the newest message of the others."""

from interop_workbench.phone import Phone, ShownMessage


def test_only_the_open_chat_is_told_in_full() -> None:
    """A page that shows one chat is not sent all messages of all of them."""
    phone = Phone("Ada", "+31600000002", "none")
    for peer in ("31-1@interop", "31-2@interop"):
        for number in range(3):
            phone.show(peer, ShownMessage(str(number), False, f"text {number}", number))

    def shown(open_peer: str | None) -> dict[str, list[str]]:
        chats = phone.as_json(open_peer)["chats"]
        return {chat["peer"]: [message["id"] for message in chat["messages"]] for chat in chats}

    everything = ["0", "1", "2"]
    assert shown(None) == {"31-2@interop": everything, "31-1@interop": everything}
    assert shown("31-1@interop") == {"31-2@interop": ["2"], "31-1@interop": everything}
    assert shown("") == {"31-2@interop": ["2"], "31-1@interop": ["2"]}
    assert [chat["unread"] for chat in phone.as_json("")["chats"]] == [3, 3]
