"""From results to conclusions: what alignment did, whether that follows what is shared, and how."""
