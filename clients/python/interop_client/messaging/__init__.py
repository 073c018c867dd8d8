"""Messages, receipts and retries, sent and received: contents, deliveries, and events for the application."""
