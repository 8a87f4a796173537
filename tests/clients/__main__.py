"""`python -m tests.clients [NAME…]`: real clients through all scripts, directly and through the proxy."""

from tests.clients.command import main

if __name__ == "__main__":
    main()
