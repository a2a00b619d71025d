"""What really happened: labels from events, the requests that count, and an account of what fell out."""
