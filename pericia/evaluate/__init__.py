"""River 3: questions become arms, scores, statistics, a report and a recommendation. Read `run.py` first."""
