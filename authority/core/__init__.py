"""The rules of the lock, pure: no I/O, no clock, no randomness; time and ids come in as arguments."""
