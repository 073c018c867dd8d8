"""How much is fired at one place, and what came back; knows no server."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.amount import BATCH, PROPERTY


class Campaign:
    """Counts what was fired and what came of it, and goes on until it is enough.

    Args:
        item: The test; the counts travel with its report.
        examples: How many different messages are enough.
    """

    def __init__(self, item: pytest.Item, examples: int) -> None:
        self._item = item
        self.examples = examples
        self.fired: set[bytes] = set()
        """The messages that were sent and answered."""
        self.outcomes: Counter[str] = Counter()
        """What came of them, by name."""

    def run(self, fire: Callable[[Random], None]) -> None:
        """Fires batches until enough different messages were answered.

        Args:
            fire: Fires one batch, made with what it is given, and adds to `fired` what was answered.
        """

        @settings(settings.get_profile("fuzz"), max_examples=20 + 4 * self.examples // BATCH)
        @given(seed=st.integers(0, 2**64 - 1))
        def batches(seed: int) -> None:
            if len(self.fired) < self.examples:
                fire(Random(seed))

        batches()
        assert len(self.fired) >= self.examples, f"only {len(self.fired)} different messages were answered"

    def new(self, write: Callable[[], bytes]) -> list[bytes]:
        """Returns a batch of messages that were not fired yet, as far as there are any among those written."""
        batch = dict.fromkeys(write() for _ in range(BATCH))
        for _ in range(BATCH * 4):
            if len(batch) >= BATCH and not self.fired.intersection(batch):
                break
            batch = dict.fromkeys(message for message in batch if message not in self.fired)
            batch[write()] = None
        return [*batch]

    def close(self) -> None:
        """Puts the counts where the report finds them."""
        self._item.user_properties.append((PROPERTY, (len(self.fired), dict(self.outcomes.most_common()))))
