"""The main module of a worker process: `python -m overt.workers.process`, started by the driver.

It reads messages from its standard input and answers on what was its standard output. When the input ends,
the driver is gone, and the process ends at once, whatever it is drawing.
"""

from __future__ import annotations

import os
import signal
import threading

from overt.workers.parts import Reply
from overt.workers.wire import packed_answer, received


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which then lets go of its workers
    asked, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what libraries print is no message
    place = received(asked)
    if place is None:
        return
    from overt.workers.worker import Worker

    worker, turn = Worker(place), threading.Lock()

    def serve(number: int, method: str, arguments: tuple[object, ...]) -> None:
        reply = worker.answer(method, *arguments)
        try:
            data = packed_answer(number, reply)
        except Exception as error:  # a user's class may give back anything
            words = f"its answer cannot be sent to the driver: {type(error).__name__}: {error}"
            data = packed_answer(number, Reply(None, words, reply.warnings))
        with turn:
            told.write(data)
            told.flush()

    while (message := received(asked)) is not None:
        threading.Thread(target=serve, args=message, daemon=True).start()
    os._exit(0)


if __name__ == "__main__":
    main()
