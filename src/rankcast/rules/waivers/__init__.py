"""Rules about `allow` itself."""
