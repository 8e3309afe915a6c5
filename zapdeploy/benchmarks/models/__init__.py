"""The networks that are benchmarked: by name or file, at each precision and batch."""
