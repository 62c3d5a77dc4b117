"""How a kernel and the authority speak: the session, its calls, the stream of news, what tells of a kernel's end."""
