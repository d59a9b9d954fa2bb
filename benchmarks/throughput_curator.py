"""What benchmarks/throughput.py measures of curator, in the Python that has bespokelabs-curator.

    python benchmarks/throughput_curator.py http://127.0.0.1:8000/v1 256 5120

Prints wall and CPU seconds of this process as JSON, of one call of a `curator.LLM` after a first one that
imports and opens what it needs. The prompts are of the length of overt's audit questions. Its tokens are
counted by length, so that no file is fetched; that is less work than its own counting.
"""

import json
import resource
import sys
import time

import tiktoken
from bespokelabs import curator


class ByLength:
    """Counts a token for every four characters."""

    def encode(self, text: str, **_: object) -> range:
        return range(len(text) // 4)


tiktoken.encoding_for_model = tiktoken.get_encoding = lambda *_: ByLength()

_TEXT = "You are an auditor of prompts. Say whether the policy allows this one, and why. " * 30


def main() -> None:
    url, in_flight, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    settings = {
        "base_url": url,
        "api_key": "none",
        "max_requests_per_minute": 10_000_000,
        "max_tokens_per_minute": 10_000_000_000,
        "max_concurrent_requests": in_flight,
        "require_all_responses": True,
        "in_mtok_cost": 0,
        "out_mtok_cost": 0,
    }
    llm = curator.LLM(model_name="gpt-4o-mini", backend="openai", backend_params=settings)
    llm([f"{_TEXT} warm {number}" for number in range(in_flight)])
    prompts = [f"{_TEXT} number {number}" for number in range(count)]
    cpu, wall = time.process_time(), time.perf_counter()
    found = llm(prompts)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    rows = getattr(found, "dataset", found)
    if len(rows) != count:
        raise SystemExit(f"{count - len(rows)} answers were lost")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": cpu, "wall": wall, "peak_mib": peak}))


if __name__ == "__main__":
    main()
