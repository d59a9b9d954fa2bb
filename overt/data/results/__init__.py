"""What a run's `results/` holds, as typed records: no numpy, no pydantic, nothing but fields.

    summary     results/summary.json: rates, layers, pairs, judges, thresholds
    remedy      results/rewrite.json: what rewriting won and what it cost
    boundaries  scores of answers at emotional boundaries, in the report's summary.json
    comparison  what `overt compare` finds between two runs
    board       rows of `overt leaderboard`

Each is written by `overt.data.typed_json.to_json` and read by `from_json`. Fields that version 0.1.0 did
not write have defaults.
"""
