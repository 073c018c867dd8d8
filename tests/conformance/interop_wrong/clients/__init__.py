"""The defects of clients, one module for each area of checks."""
