"""Files: written whole or not at all, described as plain data, checked when they are read."""
