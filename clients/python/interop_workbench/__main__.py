"""`python -m interop_workbench`: what `interopsim up --people` starts beside the server."""

from interop_workbench.cli import main

main()
