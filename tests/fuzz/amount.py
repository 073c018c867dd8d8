"""How much is fired, as the environment says; knows nothing else."""

import os

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))
"""Different messages to each RPC and each kind of stanza, at least."""
IS_CAMPAIGN = "FUZZ_EXAMPLES" in os.environ
"""Whether this is `make fuzz`: with other seeds each time."""
BATCH = 25
"""Messages that are on their way together."""
PROPERTY = "fuzzed"
"""Of a test's report: how much was fired, and what came back."""
