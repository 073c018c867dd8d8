"""A state comes back as it was saved, is replaced as a whole or not at all, and is saved before anybody goes on."""

import asyncio
import fcntl
import os
import threading
from pathlib import Path

import pytest

from interop_client.signal.errors import InvalidSnapshot
from interop_client.state import ClientState, DurableState, MemoryStore, StateFile


class SlowStore:
    """Saves only when the test lets it."""

    def __init__(self) -> None:
        self.saved: list[bytes] = []
        self.started = threading.Event()
        self.go_on = threading.Event()

    def save(self, snapshot: bytes) -> None:
        self.started.set()
        assert self.go_on.wait(5)
        self.saved.append(snapshot)


class FullDisk:
    def save(self, snapshot: bytes) -> None:
        raise OSError(28, "No space left on device")


def test_a_state_comes_back_as_it_was() -> None:
    state = ClientState.generate("12-34@interop")
    state.take_message_id()
    state.signal.generate_one_time_prekeys(3)
    restored = ClientState.from_bytes(state.to_bytes())
    assert restored.to_bytes() == state.to_bytes()
    assert restored.jid == "12-34@interop"
    assert restored.auth_public_key == state.auth_public_key
    assert restored.take_message_id() != state.take_message_id()


def test_message_ids_never_repeat() -> None:
    """Neither within a state, nor after starting anew or going back to an old backup; all fit the server's form."""
    first, second = ClientState.generate(), ClientState.generate()
    backup = first.to_bytes()
    ids = [state.take_message_id() for state in (first, second) for _ in range(50)]
    restored = ClientState.from_bytes(backup)
    ids += [restored.take_message_id() for _ in range(50)]
    assert len(set(ids)) == 150
    assert all(0 < len(message_id) <= 64 and message_id.replace("-", "").isalnum() for message_id in ids)


def test_keys_stay_out_of_logs() -> None:
    state = ClientState.generate()
    assert state.auth_private_key.hex() not in repr(state)
    assert repr(state.auth_private_key) not in repr(state)


@pytest.mark.parametrize(
    "saved", [b"", b"{}", b"nonsense\n", b'{"format": 99}\n', b"[]\n", b'{"format": 1}\nx', b"[" * 100_000]
)
def test_what_is_no_state_is_refused(saved: bytes) -> None:
    with pytest.raises(InvalidSnapshot):
        ClientState.from_bytes(saved)


def test_a_file_that_holds_no_state_is_named(tmp_path: Path) -> None:
    """With what to do about it."""
    (tmp_path / "bob").write_text("nonsense")
    with pytest.raises(InvalidSnapshot, match=r"/bob: .*; restore it from a copy, or begin with a new state"):
        StateFile(tmp_path / "bob").load()


def test_a_file_is_private_and_complete(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "bob")
    assert file.load() is None
    state = ClientState.generate()
    file.save(state.to_bytes())
    loaded = file.load()
    assert loaded is not None and loaded.to_bytes() == state.to_bytes()
    assert (tmp_path / "bob").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["bob"]


def test_a_save_that_fails_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails after the bytes were written and before they are safe."""
    file = StateFile(tmp_path / "bob")
    before = ClientState.generate().to_bytes()
    file.save(before)

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        file.save(ClientState.generate().to_bytes())
    assert (tmp_path / "bob").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["bob"]


def test_leftovers_of_a_crash_do_not_harm(tmp_path: Path) -> None:
    """They go with the next save, those of another state stay."""
    others = [".bob.2.new", ".bob.2.0123abcd.new", ".bobby.new", ".robbob.new", "bob.new"]
    for left in (".bob.new", ".bob.0123abcd.new", ".bob.ffffffff.new", *others):
        (tmp_path / left).write_bytes(b"half a sta")
    file = StateFile(tmp_path / "bob")
    assert file.load() is None
    file.save(ClientState.generate().to_bytes())
    assert file.load() is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["bob", *others])


def test_of_several_who_save_at_once_none_is_in_the_way_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one counts; in between, the file holds one of their states as a whole."""
    path, fsync = tmp_path / "bob", os.fsync
    states = [ClientState.generate().to_bytes() for _ in range(3)]
    waiting = states[1:]

    def save_another(descriptor: int) -> None:
        if waiting:
            saved = waiting.pop()
            StateFile(path).save(saved)
            assert path.read_bytes() == saved
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", save_another)
    StateFile(path).save(states[0])
    assert waiting == []
    assert path.read_bytes() == states[0]
    assert [each.name for each in tmp_path.iterdir()] == ["bob"]


def test_a_file_that_is_taken_for_a_leftover_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may begin before a writer holds its file."""
    file, saved, flock = StateFile(tmp_path / "bob"), ClientState.generate().to_bytes(), fcntl.flock
    others = [StateFile(tmp_path / "bob") for _ in range(3)]

    def begin_another(descriptor: int, operation: int) -> None:
        if others:
            others.pop().save(b"")
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", begin_another)
    file.save(saved)
    assert (tmp_path / "bob").read_bytes() == saved
    assert [each.name for each in tmp_path.iterdir()] == ["bob"]


def test_where_there_are_no_locks_a_state_is_saved_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left there may be somebody's, and stays."""

    def fail(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", fail)
    (tmp_path / ".bob.0123abcd.new").write_bytes(b"half a sta")
    StateFile(tmp_path / "bob").save(ClientState.generate().to_bytes())
    assert StateFile(tmp_path / "bob").load() is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bob.0123abcd.new", "bob"]


def test_in_a_folder_that_may_be_written_and_not_read_a_state_is_saved_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had been replaced, and then the save failed."""
    open_file = os.open

    def guarded(path: Path, flags: int, *mode: int) -> int:
        if Path(path).is_dir():
            raise PermissionError
        return open_file(path, flags, *mode)

    monkeypatch.setattr(os, "open", guarded)
    StateFile(tmp_path / "bob").save(b"new")
    assert (tmp_path / "bob").read_bytes() == b"new"


async def test_a_commit_returns_when_the_state_of_its_moment_is_saved() -> None:
    state, store = ClientState.generate(), MemoryStore()
    durable = DurableState(state, store)
    taken = state.take_message_id()
    await durable.commit()
    assert ClientState.from_bytes(store.snapshot).take_message_id() != taken


async def test_commits_that_come_during_a_save_share_the_next_one() -> None:
    """A save under way does not cover a later change; one further save covers all of them."""
    state, store = ClientState.generate(), SlowStore()
    durable = DurableState(state, store)
    first = asyncio.create_task(durable.commit())
    await asyncio.to_thread(store.started.wait, 5)
    others = []
    for _ in range(20):
        state.take_message_id()
        others.append(asyncio.create_task(durable.commit()))
    await asyncio.sleep(0)
    assert not any(other.done() for other in others)
    store.go_on.set()
    await asyncio.gather(first, *others)
    assert len(store.saved) == 2
    assert store.saved[-1] == state.to_bytes()


async def test_a_failed_save_fails_every_commit_that_needed_it() -> None:
    durable = DurableState(ClientState.generate(), FullDisk())
    outcomes = await asyncio.gather(durable.commit(), durable.commit(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError, OSError]


@pytest.mark.parametrize("failure", [StopIteration(), asyncio.CancelledError()])
async def test_a_store_may_fail_with_what_ends_other_things(failure: BaseException) -> None:
    """It is told as a failure: a commit neither waits for ever nor ends as if its caller had been cancelled."""

    class Odd:
        def save(self, snapshot: bytes) -> None:
            raise failure

    durable = DurableState(ClientState.generate(), Odd())
    async with asyncio.timeout(5):
        for _ in range(2):
            with pytest.raises(RuntimeError, match=type(failure).__name__):
                await durable.commit()


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_commit_lets_its_save_finish(times: int) -> None:
    """However often it is cancelled: otherwise an older snapshot could replace a newer one."""
    state, store = ClientState.generate(), SlowStore()
    durable = DurableState(state, store)
    cancelled = asyncio.create_task(durable.commit())
    await asyncio.to_thread(store.started.wait, 5)
    state.take_message_id()
    later = asyncio.create_task(durable.commit())
    for _ in range(times):
        cancelled.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not cancelled.done() and len(store.saved) == 0
    store.go_on.set()
    await later
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert store.saved[-1] == state.to_bytes()


def test_what_a_crash_has_left_does_not_show_the_state(tmp_path: Path) -> None:
    """Neither to whoever could read it, nor to whoever has put a link there."""
    state, path, others = ClientState.generate(), tmp_path / "ada", tmp_path / "others"
    left = tmp_path / ".ada.new"
    left.write_bytes(b"left")
    left.chmod(0o644)
    StateFile(path).save(state.to_bytes())
    assert path.stat().st_mode & 0o777 == 0o600
    left.symlink_to(others)
    StateFile(path).save(state.to_bytes())
    assert not others.exists() and not path.is_symlink() and not left.is_symlink()
    assert StateFile(path).load() == state


def test_a_link_to_a_state_stays_one(tmp_path: Path) -> None:
    """The file that it leads to is replaced, in its own folder."""
    state, path = ClientState.generate(), tmp_path / "elsewhere" / "ada"
    path.parent.mkdir()
    link = tmp_path / "ada"
    link.symlink_to(path)
    StateFile(link).save(state.to_bytes())
    assert link.is_symlink() and StateFile(path).load() == state
    assert sorted(each.name for each in path.parent.iterdir()) == ["ada"]
