"""The `Store` port on SQLite: one file per concern over one group-committing engine; knows no rule of the protocol."""
