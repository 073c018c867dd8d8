"""`python -m interop_server` is the same as `interopsim`."""

from interop_server.cli import main

main()
