"""Messages, receipts and retries, in and out: contents, deliveries, and what the user is told of them."""
