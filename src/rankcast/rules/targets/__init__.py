"""Rules about targets: who is judged, and who fell out."""
