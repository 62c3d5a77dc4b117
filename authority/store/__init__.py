"""Where the authority's entries and events survive."""

DATABASE = "motorlock.sqlite3"
"""The name of the database in a data directory."""
