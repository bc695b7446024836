"""`python -m pipelines`: the command line where the `corpusmill` script is not on the path (a submitted Ray job)."""

from pipelines.cli.main import run_process

if __name__ == "__main__":
    run_process()
