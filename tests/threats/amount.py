"""How much the costly attacks fire, as the environment says; knows nothing else."""

import os

CHANNELS = int(os.environ.get("THREAT_CHANNELS", "150"))
"""Chat channels that one attacker opens: fewer in `make test`, as each costs a registration and a login."""
CAMPAIGN = {"THREAT_CHANNELS": "1500"}
"""What `make threats` sets."""
