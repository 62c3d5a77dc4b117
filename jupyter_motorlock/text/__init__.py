"""What people read: status sentences, rows, values and numbers with their units. Pure."""
