"""Raw scans and the protocols that take them."""
