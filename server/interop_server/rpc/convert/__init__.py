"""Between protobuf messages and the model, by area: total functions; no rule and no store."""
