"""A run through Meta's six milestones against the simulator, with the client SDK as the client under test."""
