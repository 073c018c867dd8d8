"""Runs the partner's server: `python -m partner_server`."""

from partner_server.cli import main

main()
