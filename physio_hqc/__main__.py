"""``python -m physio_hqc``: the command line."""

from physio_hqc.cli import main

if __name__ == "__main__":
    main()
