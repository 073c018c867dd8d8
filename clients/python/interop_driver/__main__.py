"""Runs the driver: `python -m interop_driver`."""

from interop_driver.cli import main

main()
