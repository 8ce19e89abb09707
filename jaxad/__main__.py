"""`python -m jaxad` is the command `jaxad`."""

from jaxad.cli import main

if __name__ == "__main__":
    main()
