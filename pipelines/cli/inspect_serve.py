"""`corpusmill inspect serve`: a window on runs and folders in a browser."""

from typing import Annotated

import typer

from corpusmill.dataproc.errors import require_extra

LOOPBACK = "127.0.0.1"


def serve_command(
    paths: Annotated[list[str], typer.Argument(help="runs, stages' folders, indexes, checkpoints", metavar="PATH...")],
    port: Annotated[int, typer.Option(help="0 for a free one", min=0, max=65535, metavar="N")] = 0,
    host: Annotated[
        str, typer.Option(help="address to listen on; another than loopback lets others in who have the link")
    ] = LOOPBACK,
) -> None:
    """Look into runs and folders in a browser: documents, decisions, shards, training.

    Prints a link with a token and serves until Ctrl-C. Only this machine can open it, nothing can be changed there, and
    only the paths that are named can be seen.

    Example: corpusmill inspect serve quickstart-output
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise require_extra(str(error.name), "window") from error
    from corpusmill.pipelines.window.app import serve

    serve(paths, host, port, lambda link: print(link, flush=True))
