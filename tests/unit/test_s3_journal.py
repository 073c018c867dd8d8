"""The journal of the S3 server of the tests: what it has acknowledged is all there, however many wrote at once."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.s3_server import requests_in, whole_lines

WRITERS, EACH = 8, 40


def test_long_requests_of_many_come_whole(tmp_path: Path) -> None:
    """Written in pieces, as moto does, and from threads of their own; the last one may be cut off by a kill."""
    journal = tmp_path / "requests"
    opened = whole_lines(threading.Lock())

    def write(writer: int) -> None:
        for number in range(EACH):
            with opened(str(journal), "a+") as file:
                for piece in json.dumps({"name": f"{writer}-{number}", "body": "x" * 100_000}), "\n":
                    file.write(piece)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    with journal.open("a") as file:
        file.write('{"name": "cut o')
    with opened(str(journal)) as file:
        found = [request["name"] for request in requests_in(file.read())]
    assert sorted(found) == sorted(f"{writer}-{number}" for writer in range(WRITERS) for number in range(EACH))
    assert [name for name in found if name.startswith("3-")] == [f"3-{number}" for number in range(EACH)]
