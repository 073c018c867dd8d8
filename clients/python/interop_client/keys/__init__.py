"""An account's prekeys at the server, and other people's bundles from there; knows no message."""
