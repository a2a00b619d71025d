"""Rules about the link to online tests."""
