"""What `interopsim up` logs, on stderr: what others said cannot forge a record, and what repeats is said once."""

import json
import logging
import select
from contextlib import suppress
from typing import TextIO, cast

from interop_protocol.printable import PrintableLog
from interop_protocol.times import format_time
from interop_server.core.errors import Refusal

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_PIECE_CHARACTERS = select.PIPE_BUF // 4
"""What a pipe takes at once if it takes anything, in characters of any length."""
_LOST = "%d records before this one were lost: nobody took them in time"
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


class Unwaiting:
    """A stream that nobody waits for: what its reader does not take in time is lost, and counted.

    A server answers calls and logs in one thread. A terminal that was stopped, or a pipe that nobody reads, must not
    stop it. Each piece is so short that a stream that takes anything takes it at once.

    Args:
        stream: A file, a terminal or a pipe.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0
        self._is_torn = self._is_polled = False
        self._poll = select.poll()
        with suppress(AttributeError, OSError, ValueError):  # one in memory takes all, and there may be none at all
            self._poll.register(stream.fileno(), select.POLLOUT)
            self._is_polled = True

    def takes_more(self) -> bool:
        """Says whether it takes a piece now."""
        return not self._is_polled or bool(self._poll.poll(0))

    def take_lost(self) -> int:
        """Returns how many records were lost since this was last asked."""
        lost, self._lost = self._lost, 0
        return lost

    def write(self, record: str) -> None:
        """Writes a record, or what fits of it."""
        if self._is_torn and self.takes_more():
            self._is_torn = False
            self._put("\n")
        for start in range(0, len(record), _PIECE_CHARACTERS):
            if not self.takes_more():
                self._lost, self._is_torn = self._lost + 1, self._is_torn or start > 0
                return
            self._put(record[start : start + _PIECE_CHARACTERS])

    def _put(self, piece: str) -> None:
        self._stream.write(piece)
        self._stream.flush()

    def flush(self) -> None:
        """Does nothing: what was written is on its way."""


class OnceHandler(logging.StreamHandler["TextIO"]):
    """Writes a record that is the same as the one before as a count, once another one comes, or the end."""

    def __init__(self, stream: TextIO) -> None:
        self._out = Unwaiting(stream)
        # Both have all that a handler uses of a stream.
        super().__init__(cast("TextIO", PrintableLog(cast("TextIO", self._out))))
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
        self._tell_lost()
        super().emit(record)
        self._last = record

    def _tell_lost(self) -> None:
        if self._out.takes_more() and (lost := self._out.take_lost()):
            said = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": _LOST, "args": (lost,)}
            super().emit(logging.makeLogRecord(said))

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
