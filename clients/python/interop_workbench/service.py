"""What people of the workbench can be told over HTTP, and what can be seen of them; knows no page.

Answers are JSON. What is refused has an `error`: a sentence that says why.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import web

from interop_protocol.json_text import read_sent_json
from interop_workbench.cast import CastWrong, read_role
from interop_workbench.edge import Unwanted, guard
from interop_workbench.person import NotPossible, Person
from interop_workbench.pictures import HEAD_BYTES, picture_type
from interop_workbench.world import World
from partner_server.defects import DEFECTS
from partner_server.files import FileAnswer
from partner_server.tokens import DEFAULT_TTL_SECONDS, is_user_identifier

MAX_BODY_BYTES = 1 << 20
MAX_TTL_SECONDS = 366 * 86_400

Action = Callable[[Person, dict[str, Any]], Awaitable[dict[str, Any]]]


class Service:
    """The routes under `/api`.

    Args:
        world: Who takes part.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.key = secrets.token_urlsafe(24)
        """What whoever changes something must have."""

    def application(self) -> web.Application:
        """Returns an application with these routes."""
        application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[guard(self.key)])
        application.add_routes(
            [
                web.get("/api/people", self._list),
                web.post("/api/people", self._add),
                web.get("/api/people/{name}", self._show),
                web.get("/api/people/{name}/files/{peer}/{message}", self._file),
                web.post("/api/people/{name}/{action}", self._act),
                web.post("/api/tokens", self._token),
            ]
        )
        return application

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"people": [summary(person) for person in self._world.people]})

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._person(request).phone.as_json())

    async def _add(self, request: web.Request) -> web.Response:
        try:
            role = read_role(await body_of(request))
            person = await self._world.add(role)
        except CastWrong as error:
            raise Unwanted(400, str(error)) from error
        except NotPossible as error:
            raise _unwanted(error) from error
        return web.json_response(summary(person))

    async def _act(self, request: web.Request) -> web.Response:
        person = self._person(request)
        action = ACTIONS.get(request.match_info["action"])
        if action is None:
            raise Unwanted(404, f"A person can {', '.join(ACTIONS)}.")
        try:
            return web.json_response(await action(person, await body_of(request)))
        except NotPossible as error:
            raise _unwanted(error) from error

    async def _token(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        user, ttl, defect = body.get("user"), body.get("ttl", DEFAULT_TTL_SECONDS), text_of(body, "defect", "")
        if not is_user_identifier(user):
            raise Unwanted(400, "`user` is 1 to 256 printable characters.")
        if type(ttl) is not int or not 0 < ttl <= MAX_TTL_SECONDS:
            raise Unwanted(400, f"`ttl` is 1 to {MAX_TTL_SECONDS} seconds.")
        if defect and defect not in DEFECTS:
            raise Unwanted(400, f"There is no defect {defect!r}: {', '.join(DEFECTS)}.")
        try:
            return web.json_response(asdict(await self._world.token(str(user), ttl, defect)))
        except NotPossible as error:
            raise _unwanted(error) from error

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """Answers with a file that came: a picture as what it is, by its own bytes, anything else to be saved."""
        path = self._person(request).file_of(request.match_info["peer"], request.match_info["message"])
        if not path.is_file():
            raise Unwanted(404, "There is no such file.")
        with path.open("rb") as file:
            picture = picture_type(file.read(HEAD_BYTES))
        headers = {"Content-Security-Policy": "default-src 'none'; sandbox"}
        if not picture:
            headers["Content-Disposition"] = "attachment"
        return FileAnswer(path, headers=headers | {"Content-Type": picture or "application/octet-stream"})

    def _person(self, request: web.Request) -> Person:
        try:
            return self._world.person(request.match_info["name"])
        except NotPossible as error:
            raise Unwanted(404, str(error)) from error


def summary(person: Person) -> dict[str, Any]:
    """Returns who a person is, without their chats."""
    phone = person.phone
    return {
        "name": phone.name,
        "phone_number": phone.phone_number,
        "jid": phone.jid,
        "habit": phone.habit,
        "is_online": phone.is_online,
        "integrators": list(phone.integrators),
        "unread": sum(len(chat.unread()) for chat in phone.chats.values()),
    }


def _unwanted(error: NotPossible) -> Unwanted:
    return Unwanted(400 if error.is_wrong_use else 409, str(error))


async def body_of(request: web.Request) -> dict[str, Any]:
    """Returns the JSON object in the body of a request; an empty one without a body.

    Raises:
        Unwanted: It is none.
    """
    try:
        body = read_sent_json(await request.read()) if request.can_read_body else {}
    except (ValueError, web.RequestPayloadError) as error:  # the latter for what cannot be unpacked
        raise Unwanted(400, "The body is not JSON.") from error
    if not isinstance(body, dict):
        raise Unwanted(400, "The body is not a JSON object.")
    return body


def text_of(body: dict[str, Any], name: str, default: str | None = None) -> str:
    """Returns a text of a body; without a default it must be there.

    Raises:
        Unwanted: It is no text.
    """
    value = body.get(name, default)
    if not isinstance(value, str) or (not value and default is None):
        raise Unwanted(400, f"`{name}` is a text that is not empty.")
    return value


def _integrators(body: dict[str, Any]) -> list[int]:
    value = body.get("integrators", [])
    if not isinstance(value, list) or not all(type(each) is int and 0 < each < 1_000 for each in value):
        raise Unwanted(400, "`integrators` is a list of integrator ids, 1 to 999.")
    return value


async def _send(person: Person, body: dict[str, Any]) -> dict[str, Any]:
    peer = await person.find(text_of(body, "to"))
    reply_to = person.received(peer, text_of(body, "reply_to", ""))
    if body.get("reply_to") and reply_to is None:
        raise Unwanted(404, "There is no such message to answer.")
    return {"to": peer, "id": await person.send(peer, text_of(body, "text"), reply_to)}


async def _send_file(person: Person, body: dict[str, Any]) -> dict[str, Any]:
    """Sends bytes as a document: `base64`, since JSON holds no bytes."""
    import base64

    if body.get("base64") == "":
        raise Unwanted(400, "The file is empty: a document has at least one byte.")
    try:
        content = base64.b64decode(text_of(body, "base64"), validate=True)
    except ValueError as error:  # binascii.Error is one, too
        raise Unwanted(400, "`base64` is not Base64.") from error
    peer = await person.find(text_of(body, "to"))
    with TemporaryDirectory(prefix="interopsim-") as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        mimetype = text_of(body, "mimetype", "application/octet-stream")
        return {"to": peer, "id": await person.send_file(peer, path, text_of(body, "name"), mimetype)}


async def _react(person: Person, body: dict[str, Any]) -> dict[str, Any]:
    peer, message = await person.find(text_of(body, "to")), text_of(body, "message")
    is_own = person.phone.chat(peer).find(message, is_own=True) is not None
    await person.react(peer, message, text_of(body, "emoji", ""), is_own_message=is_own)
    return {}


async def _type(person: Person, body: dict[str, Any]) -> dict[str, Any]:
    await person.type(await person.find(text_of(body, "to")))
    return {}


async def _read(person: Person, body: dict[str, Any]) -> dict[str, Any]:
    sender = text_of(body, "from", "")
    peers = [await person.find(sender)] if sender else list(person.phone.chats)
    messages = [
        {"from": peer, "id": message.id, "kind": message.kind, "text": message.text, "at_ms": message.at_ms}
        for peer in peers
        for message in person.phone.chat(peer).unread()
    ]
    for peer in peers:
        await person.read(peer)
    return {"messages": messages}


async def _opt_in(person: Person, body: dict[str, Any]) -> dict[str, Any]:
    await person.opt_in(_integrators(body))
    return {"integrators": list(person.phone.integrators)}


async def _opt_out(person: Person, body: dict[str, Any]) -> dict[str, Any]:
    await person.opt_out(_integrators(body))
    return {"integrators": list(person.phone.integrators)}


async def _inbox(person: Person, body: dict[str, Any]) -> dict[str, Any]:
    await person.choose_inbox(text_of(body, "inbox"))
    return {"inbox": person.phone.inbox}


async def _online(person: Person, _body: dict[str, Any]) -> dict[str, Any]:
    await person.does("go online", person.go_online())
    return {"is_online": person.phone.is_online}


async def _offline(person: Person, _body: dict[str, Any]) -> dict[str, Any]:
    await person.go_offline()
    return {"is_online": person.phone.is_online}


async def _change_keys(person: Person, _body: dict[str, Any]) -> dict[str, Any]:
    await person.does("change keys", person.change_keys())
    return {}


def _to_peer(act: Callable[[Person, str], Awaitable[None]]) -> Action:
    async def run(person: Person, body: dict[str, Any]) -> dict[str, Any]:
        peer = await person.find(text_of(body, "to"))
        await act(person, peer)
        return {"to": peer}

    return run


ACTIONS: dict[str, Action] = {
    "send": _send,
    "send-file": _send_file,
    "react": _react,
    "type": _type,
    "read": _read,
    "accept": _to_peer(Person.accept),
    "decline": _to_peer(Person.decline),
    "block": _to_peer(Person.block),
    "unblock": _to_peer(Person.unblock),
    "accept-identity": _to_peer(Person.accept_identity),
    "opt-in": _opt_in,
    "opt-out": _opt_out,
    "inbox": _inbox,
    "online": _online,
    "offline": _offline,
    "change-keys": _change_keys,
}
"""What a person can be told, by the last part of the path."""
