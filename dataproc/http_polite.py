"""Reading from a public server politely: few connections at a time, and pauses when it says that it is busy.

Common Crawl's server is everybody's. It answers 503, and 403 to an address that went on asking, so here a 403 passes,
too. Files of it are fetched in blocks, and a user of a machine has at most `CORPUSMILL_HTTP_CONNECTIONS` (4) of them
under way with one server, whatever the number of workers: a block takes a tenth of a second to come and half a second
to work through, so four connections feed some twenty cores. The connections are counted by locks of files, which the
kernel lets go of when a process dies. Pauses are drawn, so that workers that were refused together do not come back
together.

Memory: a block for each file that is open.
"""

import fcntl
import os
import random
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from corpusmill.dataproc.commoncrawl import PUBLIC, base_address
from corpusmill.dataproc.errors import UserError

VARIABLE = "CORPUSMILL_HTTP_CONNECTIONS"
CONNECTIONS = 4
BLOCK = 8 << 20
LONGER = 4
"""How many times as long as elsewhere pauses are."""
_random = random.SystemRandom()


def is_polite(url: str) -> bool:
    """Whether a URL is of a server that is asked politely."""
    try:
        return urlsplit(url).netloc in (urlsplit(PUBLIC).netloc, urlsplit(base_address()).netloc)
    except ValueError:  # no URL, which whoever asks for it will say
        return False


def drawn_pause(pause: float) -> float:
    """A pause, of which the second half is drawn."""
    return LONGER * pause * _random.uniform(0.5, 1.0)


def connections() -> int:
    """How many blocks of one server may be under way on this machine."""
    written = os.environ.get(VARIABLE, str(CONNECTIONS))
    if not written.isdecimal() or not 1 <= int(written) <= 64:
        raise UserError("this is not a number from 1 to 64", where=VARIABLE)
    return int(written)


@contextmanager
def connection(url: str) -> Iterator[None]:
    """Waits until a connection to the URL's server is free, and has it while the block runs."""
    host = urlsplit(url).netloc.rpartition("@")[2].replace(":", "-")
    descriptor = _take(_folder(), host)
    try:
        yield
    finally:
        os.close(descriptor)  # which lets go of the lock


def _take(folder: Path, host: str) -> int:
    while True:
        for number in _random.sample(range(connections()), connections()):
            descriptor = os.open(folder / f"{host}-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                os.close(descriptor)
        time.sleep(_random.uniform(0.01, 0.05))


def _folder() -> Path:
    """This user's folder of locks. Raises UserError where somebody else's stands in its place."""
    folder = Path(tempfile.gettempdir()) / f"corpusmill-connections-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise UserError("this is not a folder of your own", where=str(folder), hint="remove it, or set TMPDIR")
    return folder
