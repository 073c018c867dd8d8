"""The simulator: rules in `core`, edges in `rpc` and `http`, wired together in `app`."""
