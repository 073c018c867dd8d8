"""A finished run as files: for machines, CI systems and people; knows no subject."""
