"""The drivers: what the authority can talk to."""
