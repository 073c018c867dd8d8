"""How the kit reaches a subject: the driver protocol, over pipes or gRPC. Nothing that a subject sends is trusted."""
