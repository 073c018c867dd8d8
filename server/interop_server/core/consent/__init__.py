"""Who may reach whom (OPT): opt-in, routes, first contact, reachability pings."""
