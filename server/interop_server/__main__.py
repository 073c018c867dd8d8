"""`python -m interop_server` is the same as `interopsim`."""

from interop_server.entry import main

main()
