"""All runs below a folder on a local page. It reads; the only files that it writes are its indexes, in the
user's cache.

catalogue   the runs below a folder, and what the list says of each
live        how far a run is that is not complete
index       the index of one run: SQLite, made from the records, with a full-text index
shapes      what the index takes from the records of each kind of run
shelf       which indexes there are, and which are being made
query       filters as SQL; rows by keyset, counts
answers     what came back, as the page shows it
made        pages that take a while: the report, the comparison of two runs
desk        what the page can ask for
server      the page, on loopback only (overt.web keeps others out)
"""
