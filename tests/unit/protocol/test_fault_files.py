"""Files of faults: what is written becomes the message, and what is wrong is found in its line."""

import os
from pathlib import Path

import pytest

from interop_api.admin.v1alpha1 import faults_pb2
from interop_api.v1 import chat_pb2, errors_pb2
from interop_protocol.fault_files import MAX_FILE_BYTES, FaultFile, FaultFileWrong, fill

GOOD = """\
# What a partner should survive.
[[faults]]
name = "busy"
times = 2
refuse = { reason = "rate_limited", retry_after_ms = 1500, requirement = "KEY-14" }
match.call = "PreKeyService.TakePreKeyBundles"
match.mode = "PROXY"

[[faults]]
name = "swapped"
seed = -3

[faults.match]
call = "PreKeyService.TakePreKeyBundles"
direction = "to_client"

[[faults.replace_keys.replacements]]
part = "IDENTITY_KEY"
value = "00ff"

[[faults.replace_keys.replacements]]
part = "ONE_TIME_PREKEY"

[[faults]]
name = "lost"
match = { stanza = "send_acks" }
drop = {}
"""


def read(text: str) -> faults_pb2.AddFaultsRequest:
    request = faults_pb2.AddFaultsRequest()
    FaultFile("f.toml", text.encode()).write(request.faults)
    return request


def test_every_way_to_write_a_table_will_do() -> None:
    """Enum values go without their prefix and in any case, bytes in hexadecimal; an action may be empty."""
    busy, swapped, lost = read(GOOD).faults
    assert (busy.name, busy.times, busy.match.mode) == ("busy", 2, chat_pb2.CONNECTION_MODE_PROXY)
    assert (busy.refuse.reason, busy.refuse.retry_after_ms) == (errors_pb2.ERROR_REASON_RATE_LIMITED, 1_500)
    assert (swapped.seed, swapped.match.direction) == (-3, faults_pb2.FAULT_DIRECTION_TO_CLIENT)
    identity, one_time = swapped.replace_keys.replacements
    assert (identity.part, identity.value) == (faults_pb2.FAULT_KEY_PART_IDENTITY_KEY, b"\0\xff")
    assert (one_time.part, one_time.HasField("value")) == (faults_pb2.FAULT_KEY_PART_ONE_TIME_PREKEY, False)
    assert lost.WhichOneof("action") == "drop"


@pytest.mark.parametrize(
    ("old", "new", "line", "hint"),
    [
        ('name = "busy"', 'nmae = "busy"', 3, "did you mean `name`"),
        ("times = 2", 'times = "two"', 4, "whole number"),
        ("times = 2", "times = true", 4, "whole number"),
        ("times = 2", "times = 4294967296", 4, "out of range"),
        ('name = "busy"', "name = 7", 3, "a text"),
        ('"rate_limited"', '"rate_limit"', 5, "did you mean RATE_LIMITED"),
        ('reason = "rate', 'raeson = "rate', 5, "did you mean `reason`"),
        ('match.mode = "PROXY"', 'match.mode = "sideways"', 7, "choose from DIRECT, PROXY"),
        ('direction = "to_client"', 'direction = "UNSPECIFIED"', 15, "choose from TO_SERVER, TO_CLIENT"),
        ('value = "00ff"', 'value = "00f"', 19, "hexadecimal"),
        ("drop = {}", "drop = 1", 27, "a table"),
        ("drop = {}", "drop = {}\nhold = {}", 28, "`drop` stands there already"),
        ("drop = {}", "drop = { twice = 1 }", 27, "nothing stands in it"),
        ('match = { stanza = "send_acks" }', 'match = "send_acks"', 26, "a table"),
        ('part = "ONE_TIME_PREKEY"', "part = 4", 18, "choose from"),
        ("drop = {}", "replace_keys = { replacements = 1 }", 27, "this is a list of tables"),
        ('stanza = "send_acks"', 'stanza = ""', 26, "'' would be as if nothing stood there"),
        ("times = 2", "match.nth = 0", 4, "0 would be as if nothing stood there"),
        ("times = 2", "chance_percent = 0", 4, "0 would be as if nothing stood there"),
        ("times = 2", "chance_percent = false", 4, "whole number"),
    ],
)
def test_what_is_wrong_is_found_in_its_line(old: str, new: str, line: int, hint: str) -> None:
    """With the field, and what could have been meant."""
    assert old in GOOD
    with pytest.raises(FaultFileWrong) as caught:
        read(GOOD.replace(old, new, 1))
    message = str(caught.value)
    assert message.startswith(f"f.toml, line {line}: faults[") and hint in message and message.endswith(".")


@pytest.mark.parametrize("field", ["call", "stanza", "actor", "peer", "integrator", "requirement", "nth"])
def test_nothing_narrows_by_being_empty(field: str) -> None:
    """A fault with such a field would fire wherever it can: whoever wrote it meant something else."""
    nothing = "0" if field in ("integrator", "nth") else '""'
    with pytest.raises(FaultFileWrong, match="would be as if nothing stood there"):
        read(f'[[faults]]\nname = "f"\ndrop = {{}}\nmatch.{field} = {nothing}\n')


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"", r"must hold tables \[\[faults\]\]"),
        (b"fault = []", r"must hold tables \[\[faults\]\]"),
        (b"faults = [1]", r"must hold tables \[\[faults\]\]"),
        (b"[faults]\n", r"must hold tables \[\[faults\]\]"),
        (b"[[faults]]\nname = \n", r"no TOML: .*line 2"),
        (b"faults = " + b"[" * 100_000, "no TOML"),
        (b"\xff", "UTF-8"),
        (b"#" * (MAX_FILE_BYTES + 1), "more than 1,048,576 bytes"),
        (b"[[faults]]\n" + b"a." * 20_000 + b"b = 1", "more than 16 dots .*line 2"),
        (b"n = " + b"9" * 5_000, "no TOML: .*digits"),
    ],
)
def test_what_is_no_file_of_faults_is_told(content: bytes, hint: str) -> None:
    """In a sentence."""
    with pytest.raises(FaultFileWrong, match=hint) as caught:
        FaultFile("f.toml", content)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("endless", ["/dev/zero", "pipe", "."])
def test_what_may_have_no_end_is_not_read(endless: str, tmp_path: Path) -> None:
    """A device, a pipe that nobody writes to, a folder: a sentence, at once."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FaultFileWrong, match="is no regular file: write"):
        FaultFile.read(tmp_path / endless)


def test_a_refusal_of_the_server_is_found_in_its_line() -> None:
    """By the path that the server gives it."""
    file = FaultFile("f.toml", GOOD.encode())
    assert str(file.wrong("faults[1].match.call", "no.")).startswith("f.toml, line 14: faults[1].match.call: no.")
    assert str(file.wrong("faults[2].seed", "no")).startswith("f.toml, line 24: ")
    assert str(file.wrong("faults", "no")).startswith("f.toml, line 2: ")


def test_a_fault_without_a_line_of_its_own_is_found_in_the_first() -> None:
    """Where all stand in one."""
    with pytest.raises(FaultFileWrong, match=r"^f.toml, line 1: faults\[1\].nmae: there is no `nmae`"):
        read('\nfaults = [{ name = "a" }, { nmae = "b" }]')


def test_the_longest_file_is_read_to_its_end(tmp_path: Path) -> None:
    """One byte more, and nothing of it is taken."""
    faults = b'[[faults]]\nname = "f"\ndrop = {}\n'
    path = tmp_path / "faults.toml"
    path.write_bytes(b"#" * (MAX_FILE_BYTES - len(faults) - 1) + b"\n" + faults)
    request = faults_pb2.AddFaultsRequest()
    FaultFile.read(path).write(request.faults)
    assert [fault.name for fault in request.faults] == ["f"]
    path.write_bytes(b"#" + path.read_bytes())
    with pytest.raises(FaultFileWrong, match="more than 1,048,576 bytes"):
        FaultFile.read(path)


def test_what_cannot_be_read_is_told_with_its_reason(tmp_path: Path) -> None:
    """As the system says it."""
    with pytest.raises(FaultFileWrong, match=r"cannot be read: File name too long\.$"):
        FaultFile.read(tmp_path / ("x" * 300))


def test_a_table_can_come_from_elsewhere() -> None:
    """From flags, or a test."""
    fault = faults_pb2.Fault()
    fill(fault, {"name": "f", "match": {"stanza": "any"}, "close": {"ending": "clean"}}, "fault")
    assert fault.close.ending == faults_pb2.FAULT_ENDING_CLEAN
