"""Somebody has a copy of the simulator's database: it holds nothing to log in with as anybody."""

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from interop_client.connection.login import third_party_login, whatsapp_login
from interop_client.errors import LoginRefused
from interop_client.state import ClientState
from interop_protocol.endpoint import Endpoint
from interop_protocol.sizes import PRIVATE_KEY_BYTES
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world, recorded_simulator
from tests.e2e.raw import QUIET, RawStream, check


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "simulator.db"


@pytest_asyncio.fixture
async def own_world(tmp_path: Path, database: Path, signing_keys: SigningKeys) -> AsyncIterator[World]:
    """A world on a simulator of its own, which keeps its database in a file."""
    async with recorded_simulator(tmp_path / "simulator.log", database) as child:
        endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
        async with open_world(endpoint, signing_keys, tmp_path / "partner") as world:
            yield world


def steal(database: Path, folder: Path) -> Path:
    """Copies the database with its write-ahead log while the server runs."""
    folder.mkdir()
    for file in database.parent.glob(f"{database.name}*"):
        if file.is_file():
            shutil.copy(file, folder)
    return folder / database.name


def values(database: Path) -> Iterator[bytes]:
    """Yields every value of every row, as bytes."""
    with closing(sqlite3.connect(database)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield from (value if isinstance(value, bytes) else str(value).encode() for value in row)


def private_keys(state: ClientState) -> set[bytes]:
    """All private keys of a device."""
    signal = state.signal
    signed = {prekey.key_pair.private_key for prekey in signal.signed_prekeys.values()}
    return {state.auth_private_key, signal.identity.private_key, *signed, *signal.one_time_prekeys.values()}


@pytest.mark.requirement("CHN-08", "KEY-01")
async def test_a_stolen_database_logs_nobody_in(own_world: World, database: Path, tmp_path: Path) -> None:
    """What it holds of clients are public keys: none of its values is a key that any account is proved with.

    1. Alice and Bob use the server, and a message waits.
    2. The copy has their public auth keys, and not one of their private keys.
    3. Each value that could be a private key is tried as one: for Alice, who needs no token, and for Bob, with one.
    """
    alice, bob = await own_world.whatsapp(options=QUIET), await own_world.third_party("bob", QUIET)
    await bob.publish_prekeys(3)
    await bob.close()
    await alice.send_text(bob.jid, "Hello")

    stolen = set(values(steal(database, tmp_path / "stolen")))

    assert {alice.state.auth_public_key, bob.state.auth_public_key} <= stolen
    everything = b"".join(file.read_bytes() for file in (tmp_path / "stolen").iterdir())
    for key in private_keys(alice.state) | private_keys(bob.state):
        assert key not in everything
    candidates = [value for value in stolen if len(value) == PRIVATE_KEY_BYTES]
    assert len(candidates) > 4
    logins = (whatsapp_login(alice.jid), third_party_login(bob.jid, own_world.partner.issue_token("bob")))
    for login in logins:
        for candidate in candidates:
            async with RawStream(own_world.endpoint.grpc) as stream:
                with pytest.raises(LoginRefused) as refused:
                    await stream.log_in(candidate, login)
                check(refused.value, "AUTH_KEY_MISMATCH")
