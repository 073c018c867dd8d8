"""A dishonest server: files."""
