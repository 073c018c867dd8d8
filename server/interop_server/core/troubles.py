"""What of the server does not work at present, part by part; knows neither the parts nor who is told."""

from collections.abc import Callable, Mapping

JOURNAL_FILE = "journal"
"""The part that writes the journal to a file."""
STORAGE = "storage"
"""The part that keeps the database."""
BLOBS = "blobs"
"""The part that keeps the blobs."""
BUS = "bus"
"""The part that hears from other nodes at once."""
HTTP = "http"
"""The part that answers HTTP."""
PEOPLE = "people"
"""The people and the page beside the server, where there should be some: a trouble until they are there, and when they
have gone."""

See = Callable[[str, str], None]


class Troubles:
    """The trouble of each part, as a sentence. Each change is told once, however often the trouble is met."""

    def __init__(self) -> None:
        self._present: dict[str, str] = {}
        self._watchers: list[See] = []

    @property
    def present(self) -> Mapping[str, str]:
        """The parts that do not work, each with a sentence that says why."""
        return dict(self._present)

    def watch(self, see: See) -> None:
        """Calls a function with part and sentence at each change from now on; the sentence is empty when it works."""
        self._watchers.append(see)

    def meet(self, part: str, sentence: str) -> None:
        """Notes that a part does not work. What it says first stands until the part works again."""
        if part not in self._present:
            self._present[part] = sentence
            self._tell(part, sentence)

    def end(self, part: str) -> None:
        """Notes that a part works."""
        if self._present.pop(part, None) is not None:
            self._tell(part, "")

    def _tell(self, part: str, sentence: str) -> None:
        for see in self._watchers:
            see(part, sentence)
