"""Dialects: what clients of other services speak, under a prefix of its own each.

A dialect (`openai.py`, ...) maps requests onto the native API and its answers back. It is a client like any other: it
calls the native API through `native.py`, and imports nothing of the stores behind it.
"""
