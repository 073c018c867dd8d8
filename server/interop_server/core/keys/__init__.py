"""Public keys (KEY): what accounts publish, how it is checked, and how bundles are taken."""
