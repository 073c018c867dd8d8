"""Several nodes that are one world, with everything that they need, started and stopped together on this machine."""
