"""Past online tests beside the offline numbers that preceded them: how far offline can be trusted, and what to test next."""
