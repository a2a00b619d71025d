"""`python -m rankcast`."""

from rankcast.cli import main

if __name__ == "__main__":
    main()
