"""Everything that judges: audits, duplicates, refusals, harm, statistics."""
