"""`python -m overt` is the same program as the console script `overt`."""

from overt.cli import main

if __name__ == "__main__":
    main()
