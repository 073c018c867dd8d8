"""The page: its files, and the routes that only it needs: the server's side, clock, faults and messengers.

Everything that it shows of the server comes from the admin service. What changes anything needs the key, which the page
has only when it may be in control.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from aiohttp import web
from google.protobuf.json_format import MessageToDict

from interop_admin.commands.trace import entry_as_json as wire_entry
from interop_admin.explanation import paragraphs_of
from interop_api.admin.v1alpha1 import admin_pb2, faults_pb2
from interop_api.v1 import interop_pb2
from interop_client.errors import ServerRefusal
from interop_protocol.fault_files import FaultFile, FaultFileWrong
from interop_protocol.times import parse_duration
from interop_workbench.edge import Unwanted, protect
from interop_workbench.feed import Feed, TooManyWatchers, as_event
from interop_workbench.person import NotPossible
from interop_workbench.service import body_of, summary, text_of
from interop_workbench.world import World

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

WIRE_ENTRIES = 300
"""Of one account, for a page that puts it in focus."""


class Page:
    """The page's routes.

    Args:
        world: Who takes part.
        feed: What happens.
        key: Lets the page change things; empty for one that only looks on.
    """

    def __init__(self, world: World, feed: Feed, key: str) -> None:
        self._world = world
        self._feed = feed
        self._key = key
        self._watching: set[asyncio.Task[Any]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Returns the routes."""
        return [
            web.get("/", self._index),
            web.get("/page/{file}", self._static),
            web.get("/api/state", self._state),
            web.get("/api/events", self._events),
            web.get("/api/phones/{name}", self._phone),
            web.get("/api/accounts/{jid}", self._account),
            web.get("/api/accounts/{jid}/wire", self._wire),
            web.get("/api/refusals/{request_id}", self._refusal),
            web.post("/api/clock", self._clock),
            web.post("/api/faults", self._faults),
            web.post("/api/partners/{integrator}", self._partner),
        ]

    async def stop(self, _: web.Application) -> None:
        """Ends the streams of events."""
        for task in self._watching:
            task.cancel()

    async def _index(self, _: web.Request) -> web.Response:
        return _file("index.html")

    async def _static(self, request: web.Request) -> web.Response:
        return _file(request.match_info["file"])

    async def _state(self, _: web.Request) -> web.Response:
        """Answers with all that changes seldom."""
        admin = self._world.admin
        try:
            clock = await admin.get_clock_move()
            listed = await admin.list_faults()
            partners, statistics = await admin.list_partners(), await admin.get_statistics()
        except ServerRefusal as refusal:
            raise Unwanted(503, f"The simulator does not answer: {refusal}") from refusal
        return web.json_response(
            {
                "key": self._key,
                "clock": {
                    "now_ms": clock.clock.now_ms,
                    "is_frozen": clock.clock.is_frozen,
                    "move": MessageToDict(clock.move, preserving_proto_field_name=True)
                    if clock.HasField("move")
                    else None,
                },
                "faults": [_fault(each) for each in listed.faults],
                "partners": [_partner(each) for each in partners],
                "statistics": MessageToDict(statistics, preserving_proto_field_name=True),
                "people": [summary(person) for person in self._world.people],
                "pushes": self._world.pushes(),
            }
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        protect(response)
        task = asyncio.current_task()
        assert task is not None
        self._watching.add(task)
        try:
            async with contextlib.aclosing(self._feed.watch()) as batches:
                async for batch in batches:
                    if not response.prepared:
                        await response.prepare(request)
                    await response.write(as_event(batch))
        except TooManyWatchers as error:
            raise Unwanted(503, "Too many pages watch already: close one.") from error
        except ConnectionError:  # the page is closed
            pass
        finally:
            self._watching.discard(task)
        return response

    async def _phone(self, request: web.Request) -> web.Response:
        """Answers with what a phone shows, of other chats than `chat`, by default the newest, only the last message."""
        try:
            person = self._world.person(request.match_info["name"])
        except NotPossible as error:
            raise Unwanted(404, str(error)) from error
        newest = next(reversed(person.phone.chats), "")
        return web.json_response(person.phone.as_json(request.query.get("chat", newest)))

    async def _account(self, request: web.Request) -> web.Response:
        """Answers with what the server has of an account: how many records of each kind, standing, connection."""
        jid, admin = request.match_info["jid"], self._world.admin
        counts: dict[str, int] = {}
        try:
            async for record in admin.audit_account(jid):
                counts[record[0].place] = counts.get(record[0].place, 0) + 1
            standing = await admin.get_standing(jid)
            connections = [each for each in await admin.list_connections() if each.jid == jid]
        except ServerRefusal as refusal:
            raise _not_shown(refusal) from refusal
        return web.json_response(
            {
                "jid": jid,
                "records": counts,
                "standing": MessageToDict(standing, preserving_proto_field_name=True),
                "connections": [MessageToDict(each, preserving_proto_field_name=True) for each in connections],
            }
        )

    async def _wire(self, request: web.Request) -> web.Response:
        """Answers with the newest that went over an account's channels, oldest first, watched or not."""
        newest: deque[dict[str, Any]] = deque(maxlen=WIRE_ENTRIES)
        try:
            async for response in self._world.admin.read_trace(jid=request.match_info["jid"]):
                if response.HasField("entry"):
                    newest.append(wire_entry(response.entry))
        except ServerRefusal as refusal:
            raise Unwanted(503, f"The simulator does not answer: {refusal}") from refusal
        return web.json_response({"wire": list(newest)})

    async def _refusal(self, request: web.Request) -> web.Response:
        try:
            explained = await self._world.admin.explain_refusal(request.match_info["request_id"])
        except ServerRefusal as refusal:
            raise _not_shown(refusal) from refusal
        return web.json_response({"paragraphs": [each._asdict() for each in paragraphs_of(explained)]})

    async def _clock(self, request: web.Request) -> web.Response:
        """Moves the clock: `{"do": "freeze" | "resume"}` or `{"do": "advance", "by": "30d"}`.

        An advance is answered when it is over, with `fired`: kinds of timers, and how often each did something.
        """
        body = await body_of(request)
        admin = self._world.admin

        fired: list[dict[str, Any]] = []

        async def advance() -> None:
            try:
                ms = parse_duration(text_of(body, "by"))
            except ValueError as error:
                raise Unwanted(400, f"{error}.") from error
            fired.extend({"name": each.name, "count": each.count} for each in (await admin.advance_clock(ms)).fired)

        await _do({"freeze": admin.freeze_clock, "resume": admin.resume_clock, "advance": advance}, text_of(body, "do"))
        return web.json_response({"fired": fired})

    async def _faults(self, request: web.Request) -> web.Response:
        """Changes faults: `do` is add, with `toml`; clear, of all or of `name`; or release, of `name`."""
        body = await body_of(request)
        admin = self._world.admin

        async def add() -> object:
            wanted = faults_pb2.AddFaultsRequest()
            try:
                FaultFile("The fault", text_of(body, "toml").encode()).write(wanted.faults)
            except FaultFileWrong as error:
                raise Unwanted(400, str(error)) from error
            await admin.add_faults(wanted.faults)
            return None

        async def clear() -> object:
            name = text_of(body, "name", "")
            return await admin.clear_faults(*([name] if name else []))

        async def release() -> object:
            return await admin.release_fault(text_of(body, "name"))

        await _do({"add": add, "clear": clear, "release": release}, text_of(body, "do"))
        return web.json_response({})

    async def _partner(self, request: web.Request) -> web.Response:
        """Suspends a messenger, lets it take part again, or has its key set fetched."""
        number = request.match_info["integrator"]
        if not number.isdecimal() or len(number) > 3:
            raise Unwanted(404, "There is no such messenger.")
        admin, integrator = self._world.admin, int(number)

        def set_status(status: interop_pb2.PartnerStatus.ValueType) -> Callable[[], Awaitable[object]]:
            return lambda: admin.put_partner(admin_pb2.Partner(integrator=integrator, status=status), "status")

        does = {
            "suspend": set_status(interop_pb2.PARTNER_STATUS_SUSPENDED),
            "resume": set_status(interop_pb2.PARTNER_STATUS_ACTIVE),
            "refresh": lambda: admin.refresh_jwks(integrator),
        }
        await _do(does, text_of(await body_of(request), "do"))
        return web.json_response({})


async def _do(does: dict[str, Callable[[], Awaitable[object]]], word: str) -> None:
    if word not in does:
        raise Unwanted(400, f"`do` is one of {', '.join(does)}.")
    try:
        await does[word]()
    except ServerRefusal as refusal:
        raise Unwanted(409, str(refusal)) from refusal


def _not_shown(refusal: ServerRefusal) -> Unwanted:
    status = {"NOT_REGISTERED": 404, "REQUEST_MALFORMED": 400}.get(refusal.reason)
    return Unwanted(status, str(refusal)) if status else Unwanted(503, f"The simulator does not answer: {refusal}")


def _file(name: str) -> web.Response:
    # Looked for among what is there: not every name can be asked of a file system.
    path = next((each for each in files("interop_workbench").joinpath("static").iterdir() if each.name == name), None)
    kind = _TYPES.get(name[name.rfind(".") :])
    if kind is None or path is None:
        raise web.HTTPNotFound
    return web.Response(body=path.read_bytes(), content_type=kind, charset="utf-8")


def _fault(state: faults_pb2.FaultState) -> dict[str, Any]:
    rule = MessageToDict(state.fault, preserving_proto_field_name=True)
    return {
        "name": state.fault.name,
        "action": state.fault.WhichOneof("action"),
        "rule": rule,
        "matched": state.matched,
        "fired": state.fired,
        "held": state.held,
    }


def _partner(partner: admin_pb2.Partner) -> dict[str, Any]:
    shown: dict[str, Any] = MessageToDict(partner, preserving_proto_field_name=True)
    return shown | {"status": interop_pb2.PartnerStatus.Name(partner.status).removeprefix("PARTNER_STATUS_").lower()}
