"""OPT: who may be reached."""
