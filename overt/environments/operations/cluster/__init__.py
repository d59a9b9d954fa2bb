"""A simulated Kubernetes: what it holds (`objects.py`), its command line (`line.py`), what it prints
(`show.py`), what it changes (`acts.py`, `fields.py`), and the world that puts them together (`world.py`)."""
