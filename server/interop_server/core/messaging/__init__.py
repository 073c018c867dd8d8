"""Messages, receipts and typing (MSG, RCP): routing, mailbox, retries."""
