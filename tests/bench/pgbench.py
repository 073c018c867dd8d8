"""What a PostgreSQL server does of the store's own statements, told by its own tool pgbench; knows no simulator."""

import asyncio
import re
from pathlib import Path

from interop_server.storage.postgres.concern import LOCK_ACCOUNTS
from interop_server.storage.postgres.mailbox import _DELETE, _GET_ENDS, _INSERT
from interop_server.storage.postgres.sent_messages import _GET
from tests.bench.report import WrongAnswer
from tests.postgres import BINARIES

CLIENTS = 4
_BYTES = 300


def _filled(statement: str, *values: str) -> str:
    """Returns a statement with expressions in place of its parameters, on one line, as pgbench wants it."""
    text = re.sub(r"\$(\d+)", lambda found: f"({values[int(found[1]) - 1]})", statement)
    return " ".join(text.split()) + ";"


def script(pairs: int, batch: int) -> str:
    """Returns what pgbench runs: a batch of messages from one person to another, then the ack of their deliveries.

    Args:
        pairs: Accounts 1 and 2 are a pair, 3 and 4 the next, and so on.
        batch: Messages in a transaction.
    """

    def each(expression: str, kind: str) -> str:
        return f"ARRAY(SELECT ({expression})::{kind} FROM generate_series(1, {batch}) AS n)"

    nothing, now = "'{}'", "(extract(epoch FROM now()) * 1000)::bigint"
    ids = each("':first' || '-' || n", "text")
    sent = [each(":sender", "bigint"), ids, each(now, "bigint"), each(":recipient", "bigint"), each("''", "text")]
    mailbox = [
        each("nextval('delivery_id')", "bigint"),
        *(each(f":{name}", "bigint") for name in ("recipient", "sender")),
        *(each("'1234567890@s.whatsapp.net'", "text"), each("1", "integer"), each("1", "integer")),
        *(each("1", "integer"), ids, each(now, "bigint"), each("0", "integer"), each(str(_BYTES), "bigint")),
        each(f"decode(repeat('ab', {_BYTES}), 'hex')", "bytea"),
    ]
    zeros = [each("0", "integer")] * 2
    acked = f"SELECT delivery_id FROM mailbox WHERE recipient_id = :recipient ORDER BY delivery_id LIMIT {batch}"
    accounts = "ARRAY[:sender, :recipient]::bigint[]"
    lines = [
        f"\\set n random(0, {pairs - 1})",
        "\\set sender 2 * :n + 1",
        "\\set recipient 2 * :n + 2",
        "\\set first random(1, 1000000000000)",
        "BEGIN;",
        _filled(LOCK_ACCOUNTS, accounts),
        _filled(_GET_ENDS, accounts, str(batch), "1"),
        _filled(_GET, each(":sender", "bigint"), ids),
        _filled(_INSERT, *sent, *zeros, *mailbox, *[nothing] * 6),
        "COMMIT;",
        "BEGIN;",
        _filled(_DELETE, each(":recipient", "bigint"), f"ARRAY({acked})"),
        "COMMIT;",
    ]
    return "\n".join(lines) + "\n"


async def most_messages(folder: Path, server: Path, database: str, pairs: int, batch: int, seconds: float) -> float:
    """Returns how many messages a second the statements alone go through, on so many connections at once.

    Raises:
        WrongAnswer: pgbench failed.
    """
    path = folder / "batch.sql"
    path.write_text(script(pairs, batch))
    options = ("--no-vacuum", "--client", str(CLIENTS), "--time", str(round(seconds)), "--file", str(path))
    process = await asyncio.create_subprocess_exec(
        *(BINARIES / "bin/pgbench", *options, "--host", str(server), "--username", "postgres", database),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode()
    found = re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)
    if process.returncode or found is None:
        raise WrongAnswer(f"pgbench: {said.strip().splitlines()[-1]}")
    return batch * float(found[1])
