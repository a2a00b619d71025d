"""Runs for other people's tools."""
