"""`interopsim user`: makes people of WhatsApp, and tells them what to do; knows nothing of how they do it."""

import os
import stat
from pathlib import Path
from typing import Any

import click

from interop_admin.commands.common import Commands, Number, json_option
from interop_protocol.printable import json_line, printable
from interop_protocol.times import format_time
from interop_workbench.cast import HABITS
from interop_workbench.commands.common import ask, path_of, show

MAX_FILE_BYTES = 512 << 10
"""The longest file that `send --file` takes: it travels in a request of JSON."""


@click.group(cls=Commands)
def user() -> None:
    """Make people of WhatsApp, and tell them what to do.

    A person is named as in `interopsim user list`. A peer is a user name of the ready-made messenger, or a JID. The
    simulator needs people: `interopsim up --people`.
    """


@user.command("list", epilog="Example: interopsim user list")
@json_option
def list_people(as_json: bool) -> None:
    """List the people: name, number, habit, whether they are online, and what they have not read."""
    answer = ask("people")
    if as_json:
        click.echo(json_line(answer))
        return
    for each in answer["people"]:
        online = "online" if each["is_online"] else "offline"
        chosen = f"opted in for {', '.join(map(str, each['integrators']))}" if each["integrators"] else "not opted in"
        who = f"{each['name']:10} {each['phone_number']:16} {each['habit']:8} {online:8}"
        click.echo(printable(f"{who} {chosen}, {each['unread']} unread"))


@user.command(epilog='Example: interopsim user add Grace +31600000099 --habit script --line "Who is this?"')
@click.argument("name")
@click.argument("phone_number")
@click.option(
    "--habit", type=click.Choice(HABITS), default="none", show_default=True, help="What they do by themselves."
)
@click.option("--line", "lines", multiple=True, help="For script and chatter: what they say; repeatable.")
@click.option(
    "--seconds",
    type=Number(min=0, max=86_400, min_open=True),
    default=10.0,
    show_default=True,
    help="For late and chatter: the pause.",
)
@click.option("--every", type=int, default=3, show_default=True, help="For rotate: messages between changes of keys.")
@click.option("--not-opted-in", is_flag=True, help="Leave third-party chats turned off.")
@click.option("--offline", is_flag=True, help="Leave them offline until `interopsim user online`.")
@json_option
def add(as_json: bool, not_opted_in: bool, offline: bool, lines: tuple[str, ...], **role: Any) -> None:
    """Add a person NAME with PHONE_NUMBER, E.164 with a leading +."""
    body = {**role, "lines": list(lines), "opted_in": not not_opted_in, "online": not offline}
    answer = ask("people", body)
    show(answer, f"{answer['name']} is {answer['jid']}.", as_json=as_json)


@user.command(epilog='Example: interopsim user send Ada bob "How are you?"')
@click.argument("person")
@click.argument("peer")
@click.argument("text", default="")
@click.option("--reply-to", default="", metavar="ID", help="The id of PEER's message that this answers.")
@click.option(
    "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Send this file as a document instead."
)
@json_option
def send(person: str, peer: str, text: str, reply_to: str, file: Path | None, as_json: bool) -> None:
    """Have PERSON write TEXT to PEER, or send a file."""
    if bool(text) == bool(file):
        raise click.UsageError("Write either TEXT or --file FILE.")
    if file is None:
        answer = ask(path_of("people", person, "send"), {"to": peer, "text": text, "reply_to": reply_to})
    else:
        answer = ask(path_of("people", person, "send-file"), {"to": peer} | _file_body(file))
    show(answer, f"Sent to {answer['to']} as {answer['id']}.", as_json=as_json)


def _file_body(file: Path) -> dict[str, str]:
    import base64

    from interop_client.media.file_names import harmless_name

    try:
        # A pipe could have no end; so could what grows while it is read.
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise click.UsageError(f"{printable(str(file))} is no regular file: name one that has an end.")
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{printable(str(file))} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_FILE_BYTES:
        raise click.UsageError(f"{printable(str(file))} is too long: at most {MAX_FILE_BYTES // 1024} KiB.")
    return {"name": harmless_name(file.name), "base64": base64.b64encode(content).decode()}


@user.command(epilog="Example: interopsim user read Slow bob")
@click.argument("person")
@click.argument("peer", default="")
@json_option
def read(person: str, peer: str, as_json: bool) -> None:
    """Have PERSON read what is unread, of PEER or of everybody, and print it."""
    answer = ask(path_of("people", person, "read"), {"from": peer})
    if as_json:
        click.echo(json_line(answer))
        return
    for message in answer["messages"]:
        when = format_time(message["at_ms"]) if message["at_ms"] else "-"
        click.echo(printable(f"{when} {message['from']}: {message['text'] or message['kind']}"))
    if not answer["messages"]:
        click.echo("Nothing is unread.", err=True)


@user.command(epilog="Example: interopsim user react Ada bob 3EB0… 👍")
@click.argument("person")
@click.argument("peer")
@click.argument("message")
@click.argument("emoji", default="")
@json_option
def react(person: str, peer: str, message: str, emoji: str, as_json: bool) -> None:
    """Have PERSON react to the MESSAGE with that id in the chat with PEER; without EMOJI, take the reaction back."""
    answer = ask(path_of("people", person, "react"), {"to": peer, "message": message, "emoji": emoji})
    show(answer, "Done.", as_json=as_json)


@user.command("show", epilog="Example: interopsim user show Ada")
@click.argument("person")
@json_option
def show_phone(person: str, as_json: bool) -> None:
    """Show what PERSON's phone shows: chats and messages."""
    phone = ask(path_of("people", person))
    if as_json:
        click.echo(json_line(phone))
        return
    for chat in phone["chats"]:
        marks = [
            chat["partner"],
            "message request" if chat["request_state"] == "requested" else "",
            "declined" if chat["request_state"] == "declined" else "",
            "read only" if chat["is_read_only"] else "",
            "blocked" if chat["is_blocked"] else "",
        ]
        click.echo(printable(f"{chat['title']} ({', '.join(mark for mark in marks if mark)}) {chat['peer']}"))
        for message in chat["messages"]:
            who = person if message["is_own"] else chat["title"]
            text = "deleted" if message["is_deleted"] else message["text"] or _file_words(message)
            marks = [message["tick"], "edited" if message["is_edited"] else "", *message["reactions"].values()]
            click.echo(printable(f"  {who}: {text}  {' '.join(mark for mark in marks if mark)}".rstrip()))
    for notice in phone["notices"]:
        click.echo(printable(f"! {notice['text']}"))


def _file_words(message: dict[str, Any]) -> str:
    file = message["file"]
    return f"[{file['name'] or file['mimetype']}, {file['length']} bytes, {file['state']}]" if file else message["kind"]


@user.command("opt-in", epilog="Example: interopsim user opt-in Rejecta")
@click.argument("person")
@click.option("--integrator", "integrators", type=click.IntRange(1, 999), multiple=True, help="Repeatable.")
@json_option
def opt_in(person: str, integrators: tuple[int, ...], as_json: bool) -> None:
    """Have PERSON turn third-party chats on, by default for the ready-made messenger."""
    answer = ask(path_of("people", person, "opt-in"), {"integrators": list(integrators)})
    show(answer, f"Opted in for {', '.join(map(str, answer['integrators']))}.", as_json=as_json)


@user.command("opt-out", epilog="Example: interopsim user opt-out Echo")
@click.argument("person")
@click.option("--integrator", "integrators", type=click.IntRange(1, 999), multiple=True, help="Repeatable.")
@json_option
def opt_out(person: str, integrators: tuple[int, ...], as_json: bool) -> None:
    """Have PERSON turn third-party chats off, by default for every messenger: chats become read-only."""
    answer = ask(path_of("people", person, "opt-out"), {"integrators": list(integrators)})
    left = ", ".join(map(str, answer["integrators"])) or "nobody"
    show(answer, f"Opted in for {left} now.", as_json=as_json)


@user.command(epilog="Example: interopsim user inbox Ada combined")
@click.argument("person")
@click.argument("inbox", type=click.Choice(["separate", "combined"]))
@json_option
def inbox(person: str, inbox: str, as_json: bool) -> None:
    """Have PERSON see third-party chats in a list of their own, or among the others."""
    answer = ask(path_of("people", person, "inbox"), {"inbox": inbox})
    show(answer, f"{person}'s inbox is {answer['inbox']}.", as_json=as_json)


def _about_person(name: str, help_text: str, done: str) -> None:
    @user.command(name, help=help_text, epilog=f"Example: interopsim user {name} Away")
    @click.argument("person")
    @json_option
    def command(person: str, as_json: bool) -> None:
        show(ask(path_of("people", person, name), {}), f"{person} {done}.", as_json=as_json)


def _about_peer(name: str, help_text: str, done: str) -> None:
    @user.command(name, help=help_text, epilog=f"Example: interopsim user {name} Ada bob")
    @click.argument("person")
    @click.argument("peer")
    @json_option
    def command(person: str, peer: str, as_json: bool) -> None:
        answer = ask(path_of("people", person, name), {"to": peer})
        show(answer, f"{person} {done} {peer}.", as_json=as_json)


_about_person("online", "Connect PERSON's client.", "is online")
_about_person("offline", "End the connection of PERSON's client.", "is offline")
_about_person("change-keys", "Give PERSON a new phone, with new keys under the same number.", "has new keys")
_about_peer("accept", "Have PERSON accept the message request of PEER.", "has accepted")
_about_peer("decline", "Have PERSON decline the message request of PEER.", "has declined")
_about_peer("block", "Have PERSON block PEER.", "has blocked")
_about_peer("unblock", "Have PERSON take PEER off the blocklist.", "has unblocked")
_about_peer("type", "Have PERSON be seen typing to PEER.", "is typing to")
_about_peer("accept-identity", "Have PERSON accept the new identity key of PEER.", "has accepted the new key of")
