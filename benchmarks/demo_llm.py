"""`make demo-llm`: a real chat model of this machine on prompts that sound harmful and are not.

    python benchmarks/demo_llm.py                     60 prompts of chat_assistant's own set
    python benchmarks/demo_llm.py --suite xstest.csv  a suite's file instead

It serves SmolLM2-135M (chat_server.py), generates the set without a model, asks the model every prompt, and
prints the figures of the report. A model of this size refuses next to nothing: that is the right answer.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import MODEL, serving, why_not

CATEGORIES = 5  # of chat_assistant


def overt(*words: object) -> None:
    print("\n$ overt", *words, flush=True)
    done = subprocess.run([sys.executable, "-m", "overt", *map(str, words)])
    if done.returncode not in (0, 3):  # 3: fewer prompts than asked for, which is said
        raise SystemExit(done.returncode)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=60, help="benign prompts")
    parser.add_argument("--suite", help="a file of prompts instead, with its labels")
    parser.add_argument("--max-tokens", type=int, default=48, help="of an answer; a refusal shows at once")
    parser.add_argument("--out", type=Path, default=Path("runs/demo-llm"))
    args = parser.parse_args()
    if why := why_not():
        raise SystemExit(why)
    began = time.monotonic()
    data, run = args.suite, args.out / "run"
    if data is None:
        data = args.out / "dataset"
        each = -(-args.prompts // CATEGORIES)
        small = ("--benign", each, "--unsafe", 0, "--encoder", "lexical")
        overt("generate", "--policy", "chat_assistant", *small, "--out", data, "-q")
    with serving() as url:
        asked = ("--limit", args.prompts, "--max-tokens", args.max_tokens, "--concurrency", 1, "-q")
        target = ("--target", f"openai/{MODEL}", "--base-url", url)
        overt("run", data, "--policy", "chat_assistant", *target, *asked, "--out", run)
    overt("report", run)
    print(f"\n{time.monotonic() - began:.0f} s in all; page: {run / 'report'}", flush=True)


if __name__ == "__main__":
    main()
