"""How well relevant items stand in a list: a value per request, from labels."""
