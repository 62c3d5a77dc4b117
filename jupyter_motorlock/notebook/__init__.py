"""What a person has in a notebook: magics, completion and the panel."""
