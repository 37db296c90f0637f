"""What edits pictures: `editor` says what the worker asks of an engine, `diffusion` is the engine of this project."""
