"""What keeps the service running: clock, randomness, tokens, live connections, timers; knows no wire format."""
