"""Dialects: the APIs of other services, as their clients speak them, each under its own prefix.

A dialect (`openai/`, `replicate.py`) translates requests into calls of the native API and translates the answers back.
It calls the native API through `native.py`, as any other client, and imports nothing of the stores behind it.
"""
