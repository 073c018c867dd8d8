"""LIF: leaving, and being away."""
