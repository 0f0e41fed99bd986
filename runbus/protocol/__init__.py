"""Layer 1, the protocol: pure functions and records. No server, no `await`, no clock."""
