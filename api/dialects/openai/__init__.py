"""OpenAI's images API, as its clients speak it, at `/openai/v1`."""
