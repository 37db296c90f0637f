"""The web tier: turns HTTP into jobs and back. It decides nothing itself and never loads torch."""
