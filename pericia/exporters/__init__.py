"""Exporters: an adapter leaves the house as merged weights, GGUF or an Ollama model."""
