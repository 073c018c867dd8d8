"""`make bench`: what a real server process does beside what bare grpc.aio can; asserts what comes back, but no time."""

import os

# Core logs every connection that a stopping server closes, which is what a benchmark does all the time.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
