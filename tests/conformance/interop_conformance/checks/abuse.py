"""ABU: blocking and reporting."""
