"""The two files: strict, frozen, every error with file, line and key. Stages never see this folder."""
