"""Runs the partner's server: `python -m partner_server`; or asks one for a token: `python -m partner_server token`."""

import sys

if sys.argv[1:2] == ["token"]:
    from partner_server.token_command import main as ask_for_token

    ask_for_token(sys.argv[2:], prog_name="python -m partner_server token")
else:
    from partner_server.cli import main

    main()
