"""The keeper process (`python -m worker.keeper`): it recovers jobs, delivers webhooks and tidies the bucket."""
