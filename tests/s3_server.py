"""An S3 server as a process: that of moto, the mock library of AWS's services, which keeps all in memory.

With `--journal FILE` it writes down every request, and begins by answering once more those that stand there, as moto's
recorder does: so what it has acknowledged outlives its death. Prints `{"port": …}` when it is ready.
"""

import argparse
import base64
import io
import itertools
import json
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--journal", type=Path)
    arguments = parser.parse_args()
    if arguments.journal is not None:
        os.environ |= {"MOTO_ENABLE_RECORDING": "1", "MOTO_RECORDER_FILEPATH": str(arguments.journal)}

    from moto.moto_api import recorder
    from moto.moto_api._internal.recorder import models as recorders
    from moto.s3 import models
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    # Ids of large uploads are drawn there. In order, so that what is answered once more has the ids that it had.
    ids = itertools.count(1)
    models.os = types.SimpleNamespace(**{**vars(os), "urandom": lambda length: next(ids).to_bytes(length, "big")})
    recorders.open = whole_lines(threading.Lock())  # type: ignore[attr-defined]  # in place of the built-in one
    application = DomainDispatcherApplication(create_backend_app)
    if arguments.journal is not None and arguments.journal.exists():
        changes = [each for each in requests_in(arguments.journal.read_text()) if is_change(each)]
        arguments.journal.write_text("".join(f"{json.dumps(each)}\n" for each in changes))
        # At a port that nobody knows: what others ask for meanwhile would come between, and get ids of what was before.
        past = make_server("127.0.0.1", 0, application, threaded=True)
        serving = threading.Thread(target=past.serve_forever, daemon=True)
        serving.start()
        recorder.replay_recording(f"http://127.0.0.1:{past.port}")
        past.shutdown()
        serving.join()
        past.server_close()
    server = make_server("127.0.0.1", arguments.port, application, threaded=True)
    print(json.dumps({"port": server.port}), flush=True)
    server.serve_forever()


def whole_lines(turn: threading.Lock) -> Callable[..., Any]:
    """Returns what opens a file so that what several threads append does not come in pieces between each other's.

    Moto writes a long request in several. A journal that cannot be read to its end has lost what follows.
    """

    @contextmanager
    def opened(path: str, mode: str = "r") -> Iterator[IO[str]]:
        if mode != "a+":
            with Path(path).open(mode) as file:
                yield file
            return
        appended = io.StringIO()
        yield appended
        with turn, Path(path).open("a") as file:
            file.write(appended.getvalue())

    return opened


def requests_in(journal: str) -> Iterator[dict[str, Any]]:
    """Yields what was written down; the last line may have been cut off."""
    return (json.loads(line) for line in journal.splitlines(keepends=True) if line.endswith("\n"))


def is_change(request: dict[str, Any]) -> bool:
    """Says whether a request has changed something; one that broke off has not."""
    body = base64.b64decode(request["body"]) if request["body_encoded"] else request["body"].encode()
    length = request["headers"].get("Content-Length")
    return request["method"] not in ("GET", "HEAD") and length in (None, str(len(body)))


if __name__ == "__main__":
    sys.exit(main())
