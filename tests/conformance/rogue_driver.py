"""A driver that answers `describe` and then does what no driver should, as its first argument says."""

import os
import subprocess
import sys
import time

from google.protobuf.proto import parse_length_prefixed, serialize_length_prefixed

from interop_api.conformance.v1 import driver_pb2 as pb


def send(**kind: object) -> None:
    """Sends a message."""
    serialize_length_prefixed(pb.DriveResponse(**kind), sys.stdout.buffer)  # type: ignore[arg-type]
    sys.stdout.buffer.flush()


def misbehave(how: str, request: pb.DriveRequest) -> None:  # noqa: C901 - one wrong after the other
    """Answers a command wrongly."""
    if how == "dies":
        os._exit(7)
    if how == "kills_itself":
        os.kill(os.getpid(), 9)
    if how == "hangs":
        time.sleep(600)
    if how == "closes_stdin":
        os.close(0)
        time.sleep(600)
    if how == "prints":
        sys.stdout.buffer.write(b"INFO starting up" * 50)
        sys.stdout.buffer.flush()
    if how == "floods":
        send(result=pb.CommandResult(id=request.id, done=pb.DoneResult()))
        number = 0
        while True:
            number += 1
            shown = pb.TextShown(text="x" * 1000)
            send(event=pb.DeviceEvent(device=request.device, number=number, text_shown=shown))
    if how == "answers_others":
        send(result=pb.CommandResult(id=request.id + 1000, done=pb.DoneResult()))
    if how == "answers_twice":
        for _ in range(2):
            send(result=pb.CommandResult(id=request.id, done=pb.DoneResult()))
    if how == "tells_of_others":
        send(event=pb.DeviceEvent(device="nobody", number=1, text_shown=pb.TextShown(text="Hello")))
    if how == "closes_stdout":
        os.close(1)
        time.sleep(600)
    if how == "leaves_a_child":
        subprocess.Popen(["setsid", "sleep", "20"])  # it holds the driver's pipes
        os._exit(7)
    if how == "leaves_a_half":
        sys.stdout.buffer.write(b"\x40half a message")
        sys.stdout.buffer.flush()
        os._exit(0)
    if how == "answers_nothing":
        send(result=pb.CommandResult(id=request.id))
    if how == "supports_nothing":
        send(result=pb.CommandResult(id=request.id, unsupported=pb.UnsupportedResult(detail="\x1b[2J\u202e")))
    if how == "too_long":
        sys.stdout.buffer.write(b"\xff\xff\xff\x7f")
        sys.stdout.buffer.flush()
    if how == "lies":
        send(result=pb.CommandResult(id=request.id, done=pb.DoneResult()))


def main() -> None:
    """Reads commands to the end."""
    while (request := parse_length_prefixed(pb.DriveRequest, sys.stdin.buffer)) is not None:
        if request.HasField("describe"):
            described = pb.DescribeResult(
                name="rogue \x1b[31m<script>alert(1)</script>",
                version="|`*",
                features=[pb.CLIENT_FEATURE_DIRECT],
                max_devices=4,
            )
            send(result=pb.CommandResult(id=request.id, description=described))
        else:
            misbehave(sys.argv[1], request)


main()
