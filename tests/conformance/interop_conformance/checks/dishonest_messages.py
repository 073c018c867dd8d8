"""A dishonest server: messages and receipts."""
