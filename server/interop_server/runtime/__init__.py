"""The parts that keep the service running: clock, randomness, tokens, timers, journal file; knows no wire format."""
