"""What needs more than the light install: each module names the extra that brings what it stands on."""
