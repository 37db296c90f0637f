"""What the web tier and the workers share: the job, its record in Redis, its pictures in S3, its wake-ups."""
