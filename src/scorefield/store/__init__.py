"""Everything that is written to disk: whole or not at all, described as plain data, checked when read."""
