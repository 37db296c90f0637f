"""The engines that edit pictures. `editor` is their interface to the worker, `diffusion` the engine of this project."""
