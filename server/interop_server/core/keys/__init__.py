"""Public keys (KEY): what is published, what it must be, and how bundles are taken."""
