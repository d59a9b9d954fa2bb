"""Prepares a run for the Hugging Face Hub and uploads it.

    tables     configs and their typed columns          dataset, results: what a run becomes
    pictures   re-encoded, with nothing in them but pixels
    scan       keys, addresses, phone numbers, home folders
    parquet    one config as Parquet shards
    card       README.md        croissant   croissant.json      benchmark   eval.yaml
    model_results   files for the pages of models, which nobody is sent
    folder     all of it on disk        upload      one commit per repository, or none

Rows of unsafe prompts, and pictures that a judge found harmful, go to a repository of their own.
"""
