"""RCP: receipts, and asking for a message again."""
