"""The whole service on one machine, as `darkroom up` starts it."""
