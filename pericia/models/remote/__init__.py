"""A causal language model on another server.

services   which server: OpenAI, Azure, any address
model      the model as others see it, adapters handed over
"""
