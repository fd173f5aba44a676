"""`python -m gcbench`: the same command line as `gcbench`."""

from gcbench.cli import main

if __name__ == "__main__":
    main()
