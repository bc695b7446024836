"""`python -m corpusmill`: the command line where its script is not on the path (a submitted Ray job, torchrun)."""

from corpusmill.pipelines.cli.main import run_process

if __name__ == "__main__":
    run_process()
