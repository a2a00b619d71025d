"""How users behave before a list: how far they look."""
