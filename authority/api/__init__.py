"""The routes of the authority: HTTP and push. They parse, ask once and render; they decide nothing."""
