"""Step: a client connects through its partner's proxy; knows nothing of direct connections."""

import asyncio

from interop_api.v1 import chat_pb2
from interop_demo.people import Person
from interop_demo.search import files_under, search
from interop_demo.stage import CAROL_IP, MESSENGER, Stage, expect


async def talk_through_the_proxy(stage: Stage) -> str:
    """Lets Carol enlist with the proxy's auth key, connect through it, and talk to Alice."""
    alice, carol, addresses = stage.alice, stage.carol, stage.place_of(stage.carol)
    carol.jid = (await carol.ask("enlist", simulator=addresses))["jid"]
    stage.timeline.tell(carol, f"enlists with an auth key that {MESSENGER}'s proxy holds for her, becomes {carol.jid}")
    await carol.ask("connect", simulator=addresses)
    await carol.ask("publish_prekeys")
    stage.timeline.tell(carol, "connects through the proxy, which speaks Noise for her")
    async with stage.admin(carol) as admin:
        connections = {connection.jid: connection for connection in await admin.list_connections()}
    expect(carol.jid in connections, "the server does not list Carol as connected")
    connection = connections[carol.jid]
    expect(connection.mode == chat_pb2.CONNECTION_MODE_PROXY, "the server does not know the connection as a proxy's")
    expect(connection.client_ip == CAROL_IP, f"the server has {connection.client_ip} as Carol's address")
    stage.timeline.decide(f"knows: proxy mode, client {connection.client_ip}, peer {connection.peer_address}")
    stage.carols_text = await _send(stage, carol, alice, "Hi Alice, Carol here, from behind a proxy.")
    await _send(stage, alice, carol, "Hello Carol, the proxy carried this one back.")
    return await _search_the_proxy(stage)


async def _send(stage: Stage, sender: Person, recipient: Person, text: str) -> str:
    stage.keep_secret(f"{sender.name}'s text to {recipient.name}", text)
    await sender.ask("send_text", to=recipient.jid, text=text)
    received = await recipient.ask("wait_for_text")
    expect((received["sender"], received["text"]) == (sender.jid, text), f"{recipient.name} did not get the text")
    stage.timeline.tell(sender, f"writes to {recipient.name}, who receives and decrypts it")
    await stage.settle()
    return str(received["id"])


async def _search_the_proxy(stage: Stage) -> str:
    folder = stage.folders.messenger
    findings = await asyncio.to_thread(search, stage.secrets, files_under(folder))
    expect(not findings.hits, f"the proxy kept {', '.join(findings.hits)}")
    keys = await stage.carol.ask("find_own_keys", folders=[str(folder)])
    expect(keys["found_at_home"], "the search does not find Carol's key even on her own device")
    expect(not keys["hits"], "the proxy kept Carol's private identity key")
    stage.timeline.tell(
        f"{MESSENGER}'s proxy", "kept neither a plaintext nor Carol's identity key: searched byte by byte"
    )
    return (
        f"proxy mode and {CAROL_IP} known to the server; texts both ways; neither these nor Carol's identity key "
        f"are in the {findings.files} files of the proxy's process: it holds her chat-channel auth key, message keys "
        "derive from keys that stay on her device"
    )
