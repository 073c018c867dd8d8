"""The people of the story: each a process that takes commands; knows no story and no server."""

import asyncio
import json
from pathlib import Path
from typing import Any

from interop_client.media.upload import Progress
from interop_demo.devices import PYTHON, DeviceProgram
from interop_demo.processes import Child, ChildFailed

SILENCE_SECONDS = 60.0
"""Longest wait for the next line of a person's process."""


class Refused(Exception):
    """The server refused a person's request.

    Args:
        reason: Name of the reason.
        requirement: Id of the requirement; may be empty.
        advice: What to do about it.
        request_id: Names the refusal in the server's journal.
        **login: For a login: `code`, and for a ban also `sub_code` and `expires_after_seconds`.
    """

    def __init__(self, reason: str, requirement: str, advice: str, request_id: str, **login: int) -> None:
        super().__init__(f"{reason} ({requirement}): {advice}" if requirement else f"{reason}: {advice}")
        self.reason = reason
        self.requirement = requirement
        self.advice = advice
        self.request_id = request_id
        self.code = login.get("code", 0)
        self.sub_code = login.get("sub_code", 0)
        self.expires_after_seconds = login.get("expires_after_seconds", 0)


class CouldNot(Exception):
    """A person's device could not carry out a command, for a reason other than a refusal."""


class Person:
    """A person with a device, which is a process of its own and keeps its state in a folder.

    Args:
        name: First name.
        messenger: Name of the messenger that this person uses.
        folder: Folder of the device; made when the person starts.
        settings: Settings of the process; see `person`.
        device: The program that is the device.
    """

    def __init__(
        self, name: str, messenger: str, folder: Path, settings: dict[str, str], device: DeviceProgram = PYTHON
    ) -> None:
        self.name = name
        self.messenger = messenger
        self.folder = folder
        arguments = (*device.arguments, json.dumps({"folder": str(folder), **settings}))
        self.process = Child(f"{name}'s device", arguments, folder / "device.log", program=device.program)
        self.jid = ""
        """The person's JID; empty until the server has given one."""
        self.user = settings["user"]
        """User-visible identifier: e-mail address or phone number."""

    def __str__(self) -> str:
        return f"{self.name} ({self.messenger})"

    async def start(self) -> None:
        """Switches the device on.

        Raises:
            ChildFailed: The device's process does not start.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        await self.process.start()

    async def stop(self) -> None:
        """Switches the device off. Its saved state stays."""
        await self.process.stop()

    async def ask(self, do: str, progress: Progress | None = None, **fields: Any) -> dict[str, Any]:
        """Gives the person's device a command and returns the result.

        Args:
            do: Name of a command of the device.
            progress: Called with the progress of an upload.
            **fields: Fields of the command.

        Raises:
            Refused: The server refused the request.
            CouldNot: Something else went wrong.
            ChildFailed: The device's process has ended or hangs.
        """
        await self.process.write_line(json.dumps({"do": do, **fields}))
        while True:
            answer = await self._read_answer()
            if "done" in answer:
                return dict(answer["done"])
            if "refused" in answer:
                raise Refused(**answer["refused"])
            if "failed" in answer:
                raise CouldNot(f"{self.name} could not {do.replace('_', ' ')}: {answer['failed']}")
            if progress is not None:
                progress(*answer["progress"])

    async def _read_answer(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                line = await self.process.read_line()
        except TimeoutError as error:
            raise ChildFailed(f"{self.process.name} does not answer. {self.process.describe_log()}") from error
        if not line:
            raise ChildFailed(f"{self.process.name} has ended. {self.process.describe_log()}")
        answer: dict[str, Any] = json.loads(line)
        return answer
