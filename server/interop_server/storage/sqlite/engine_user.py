"""What every concern of the store shares: its engine; knows no table."""

from interop_server.storage.sqlite.engine import Engine


class EngineUser:
    """Reads and writes through one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
