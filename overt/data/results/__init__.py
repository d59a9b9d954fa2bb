"""Typed records of the files in a run's `results/`.

    summary     results/summary.json: rates, layers, pairs, judges, thresholds
    remedy      results/rewrite.json: refusal before and after rewriting, and faithfulness
    calibration results/calibration.json: thresholds for a limit on over-refusal, tried on held-out seeds
    boundaries  scores of answers at emotional boundaries, in the report's summary.json
    comparison  the output of `overt compare`
    board       rows of `overt leaderboard`

`overt.data.typed_json` writes and reads them. Fields that version 0.1.0 did not write have defaults.
"""
