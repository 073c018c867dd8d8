"""What `interopsim up` logs, on stderr: what others said cannot forge a record, and what repeats is said once."""

import json
import logging
from typing import TextIO, cast

from interop_protocol.printable import PrintableLog
from interop_protocol.times import format_time
from interop_server.core.errors import Refusal

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
REQUEST_ID = "request_id"
"""The extra field of a record that belongs to a request: its id, or an empty text while it has none."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON, in ASCII: `time` (UTC), `level`, `logger`, `message`.

    Where there is one also `request_id`, and `exception`, a stack trace.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, without its end."""
        optional = {
            REQUEST_ID: getattr(record, REQUEST_ID, ""),
            "exception": self.formatException(record.exc_info) if record.exc_info else "",
        }
        always = {
            "time": format_time(int(record.created * 1_000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json.dumps({**always, **{name: value for name, value in optional.items() if value}})


class OnceHandler(logging.StreamHandler["TextIO"]):
    """Writes a record that is the same as the one before as a count, once another one comes, or the end."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(cast("TextIO", PrintableLog(stream)))  # it has all that a handler uses of a stream
        self._last: logging.LogRecord | None = None
        self._repeats = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record, or counts it."""
        if record.exc_info and isinstance(record.exc_info[1], Refusal):
            record.exc_info = None  # a refusal, such as that of a full disk, is expected: where it came from is no news
        if self._last is not None and _said(record) == _said(self._last):
            self._repeats += 1
            self._last = record
            return
        self.tell_repeats()
        super().emit(record)
        self._last = record

    def tell_repeats(self) -> None:
        """Writes how often the last record came again, if it did."""
        if self._last is not None and self._repeats:
            again = logging.makeLogRecord(
                {**self._last.__dict__, "msg": f"the same {self._repeats} times more", "args": ()}
            )
            self._repeats = 0
            super().emit(again)

    def close(self) -> None:
        """Writes what is left to say."""
        self.tell_repeats()
        super().close()


def log_to(stream: TextIO, level: str, *, as_json: bool = False) -> None:
    """Has everything from a level on logged, as text or as lines of JSON."""
    handler = OnceHandler(stream)
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])


def _said(record: logging.LogRecord) -> tuple[str, int, str]:
    return record.name, record.levelno, record.getMessage()
