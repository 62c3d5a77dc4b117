"""Who makes a request: what the operating system, a token or the Hub can prove of it."""
