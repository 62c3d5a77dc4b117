"""Where the authority's entries and events survive."""
