"""A threshold for a limit on over-refusal, found on some seeds and tried on others.

columns     the scored rows of each target; of refusal tokens what is known of both continuations
split       which seeds the threshold is found on, and which it is tried on
thresholds  the search for one threshold, and what it gives
tokens      text against token: what a model says behind a token that it did not choose
baseline    what plain logistic regression on the prompts' embeddings makes of the same split
calibrate   all of it, for the targets of a run
"""
