"""MED: files."""
