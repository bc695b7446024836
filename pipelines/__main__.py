"""`python -m pipelines`: the command line where the `corpusmill` script is not on the path (a submitted Ray job)."""

from pipelines.cli.main import main

if __name__ == "__main__":
    main()
