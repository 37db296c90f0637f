"""Stores a picture before a peer answers, in the same S3 as our service."""

import os
import uuid

import boto3
from botocore.config import Config


def bucket_client():
    return boto3.client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT_URL"],
        region_name=os.environ["S3_REGION"],
        aws_access_key_id=os.environ["S3_ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["S3_SECRET_ACCESS_KEY"],
        config=Config(proxies={}),
    )


STORES = os.environ.get("PEER_STORES") == "1"
CLIENT = bucket_client() if STORES else None


def keep(picture: bytes) -> str:
    """Store a picture. Returns its key."""
    key = f"peers/{uuid.uuid4().hex}"
    CLIENT.put_object(Bucket=os.environ["S3_BUCKET"], Key=key, Body=picture, ContentType="image/jpeg")
    return key
