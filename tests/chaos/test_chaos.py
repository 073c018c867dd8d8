"""A short round of what `make chaos` does at length, and proof that it notices what it looks for."""

import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_server.crash_points import OBJECT_POINTS, POINTS
from partner_server import SigningKeys
from tests.chaos.blobs import Blobs
from tests.chaos.campaign import RANDOM, Campaign, Company, Found, Kill, plan
from tests.chaos.people import STALE_UPLOAD_SECONDS, Broken
from tests.chaos.places import OBJECT_STORE, PLACES
from tests.chaos.stage import Place, open_stage
from tests.postgres import fresh_database

pytestmark = pytest.mark.timeout(600)  # on a busy machine a start alone takes seconds
OBJECT_OR_ITS_STORE = {*OBJECT_POINTS, OBJECT_STORE}
COMMITS = 200
"""Enough of a load that there is something of each kind."""


@pytest.mark.requirement("SIM-03", "MSG-04", "MSG-09", "MSG-14", "KEY-05", "KEY-06", "MED-07", "OPT-02", "ABU-01")
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_what_was_acked_outlives_a_kill_at_every_point(
    tmp_path: Path, signing_keys: SigningKeys, engine: str
) -> None:
    """A server under mixed load dies at each named place; after each, everything is as the model says."""
    kills = list(plan(len(POINTS), seed=1))
    engines = {"sqlite": Campaign, "postgres": partial(Campaign, fresh_store=fresh_database)}
    found = await engines[engine](tmp_path, signing_keys, kills, 1).run()
    print(f"{found.kills} kills in {found.seconds:.1f} s: {dict(found.at_points)}")
    assert found.broken == []
    assert found.at_points == dict.fromkeys(POINTS, 1)


@pytest.mark.requirement("SIM-03", "MED-07")
@pytest.mark.parametrize("place", ["file", "s3"])
async def test_blobs_outlive_a_kill_at_every_point_of_an_object_store(
    tmp_path: Path, signing_keys: SigningKeys, place: str
) -> None:
    """A server dies at each step there, and the object store dies under load; each time everything is as acked."""
    fresh_blobs, points = PLACES[place]
    points = tuple(point for point in points if point in OBJECT_OR_ITS_STORE)
    campaign = Campaign(tmp_path, signing_keys, list(plan(len(points), 1, points)), 1, fresh_blobs=fresh_blobs)
    found = await campaign.run()
    print(f"{found.kills} kills in {found.seconds:.1f} s: {dict(found.at_points)}")
    assert found.broken == []
    assert found.at_points == dict.fromkeys(points, 1)


@pytest.mark.requirement("MED-07")
@pytest.mark.parametrize("point", ["blob.rename", "blob.sync_folder", "blob.answer"])
async def test_a_blob_that_got_no_path_is_taken_away(tmp_path: Path, signing_keys: SigningKeys, point: str) -> None:
    """Killed around the rename of an upload, a server keeps its bytes no longer than those of an unfinished one."""
    async with open_stage(Place(tmp_path, signing_keys)) as stage:
        await stage.start()
        person = await stage.whatsapp_user()
        await stage.kill()
        # The first upload also makes its folder, and syncs two others for that.
        await stage.start(f"{point}:{3 if point == 'blob.sync_folder' else 1}")
        uploads = Blobs(person, random.Random(1))
        await uploads.return_()
        uploads.favourite = "whole"
        with pytest.raises((ServerRefusal, ConnectionEnded)):
            await uploads.work()
        await uploads.close()
        assert await stage.died(10)
        await stage.kill()
        folder = tmp_path / "chaos.db.blobs"
        [left] = [path for path in folder.rglob("*") if path.is_file()]
        assert left.parent.name == ("uploads" if point == "blob.rename" else left.name[:2])

        await stage.start()
        await stage.admin.advance_clock((STALE_UPLOAD_SECONDS + 1) * 1_000)
        assert [path for path in folder.rglob("*") if path.is_file()] == []


def lose_messages(db: sqlite3.Connection, _: Path) -> None:
    db.execute("DELETE FROM mailbox WHERE kind = 1")


def bring_back_a_prekey(db: sqlite3.Connection, _: Path) -> None:
    """Of each account all that fit: some went because others were published in their place, and nobody had them."""
    lowest = dict(db.execute("SELECT account_id, min(key_id) FROM one_time_prekey GROUP BY account_id").fetchall())
    gone = db.execute(
        "SELECT account_id, public_key FROM one_time_prekey_history EXCEPT SELECT account_id, public_key"
        " FROM one_time_prekey"
    ).fetchall()
    for account_id, key_id in lowest.items():
        keys = [public_key for owner, public_key in gone if owner == account_id]
        rows = [(account_id, key_id - 1 - at, key) for at, key in enumerate(keys) if key_id - 1 - at > 0]
        db.executemany("INSERT INTO one_time_prekey VALUES (?1, ?2, ?3)", rows)
        db.execute(
            "UPDATE published_keys SET one_time_count = one_time_count + ?2 WHERE account_id = ?1",
            (account_id, len(rows)),
        )


def change_a_byte_of_each_blob(_: sqlite3.Connection, folder: Path) -> None:
    for path in (path for path in folder.glob("chaos.db.blobs/??/*") if path.is_file()):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)


def change_settings(db: sqlite3.Connection, _: Path) -> None:
    db.execute("DELETE FROM blocked")


Sabotage = Callable[[sqlite3.Connection, Path], None]


@pytest.mark.parametrize(
    ("sabotage", "noticed"),
    [
        (lose_messages, "messages acked to|the receipt of|was due"),
        (bring_back_a_prekey, "were handed out, and are here again"),
        (change_a_byte_of_each_blob, "other bytes than went up"),
        (change_settings, "blocked .* is False"),
    ],
)
async def test_what_is_lost_is_noticed(
    tmp_path: Path, signing_keys: SigningKeys, sabotage: Sabotage, noticed: str
) -> None:
    """A check that finds everything right proves nothing: here somebody changes the files between two lives."""
    async with open_stage(Place(tmp_path, signing_keys)) as stage:
        company = Company(stage, random.Random(1))
        assert await company.live(Kill("write.answer", COMMITS)), "so many commits did not come"
        with closing(sqlite3.connect(stage.db, isolation_level=None)) as db:
            sabotage(db, tmp_path)
        with pytest.raises(Broken, match=noticed):
            await company.live(Kill(RANDOM, after_seconds=0.0))


def test_a_plan_visits_every_point_and_chance() -> None:
    """Every point first of all, then all of them in turn, and a third of the kills wherever chance has it."""
    kills = list(plan(400, seed=7))
    assert [kill.point for kill in kills[: len(POINTS)]] == list(POINTS)
    later = [kill.point for kill in kills[len(POINTS) :]]
    assert {*later} == {RANDOM, *POINTS} - {"schema.create"}
    assert len(later) // 3 <= later.count(RANDOM) <= len(later) // 3 + 1
    assert kills == list(plan(400, seed=7))


def test_what_was_found_is_told_to_machines() -> None:
    """Every part of it, by name."""
    found = Found(7, kills=2, broken=["a blob is gone"])
    found.at_points.update({"write.commit": 1, RANDOM: 1})
    assert json.loads(json.dumps(found.as_json())) == {
        "seed": 7, "kills": 2, "at_points": {"write.commit": 1, RANDOM: 1}, "missed": 0, "broken": ["a blob is gone"],
        "seconds": 0.0, "holds": False,
    }  # fmt: skip
