"""A cog predictor. coglet serves it over HTTP and calls webhooks by itself."""

import asyncio

from cog import BasePredictor, Input, concurrent


class Edit(BasePredictor):
    @concurrent(max=32)
    async def predict(self, image: str = Input(), prompt: str = Input()) -> str:
        await asyncio.sleep(0.2)
        return prompt
