"""How results look on a terminal: tables, answers, progress. Nothing here decides anything."""
