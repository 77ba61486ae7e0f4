"""Pericia makes a small language model the expert of your industry and measures which way is best."""
