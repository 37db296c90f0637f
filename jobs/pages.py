"""Pages of a sorted set: some members, and the cursor of the next page, which stays valid if members come and go."""

from typing import Any

PLACE = r"^\d{1,16}-[0-9a-z]{1,64}$"  #: a cursor: the score of a member, and the member


def page_of(
    client: Any, key: str, *, limit: int, after: str | None, newest_first: bool = False
) -> tuple[list[str], str | None]:
    """At most `limit` members behind the place `after`, and the place of the last of them if there are more."""
    start = "+inf" if newest_first else "-inf"
    ties, place = 0, None
    if after is not None:
        score, _, name = after.partition("-")
        start, place = score, (float(score), name)
        ties = client.zcount(key, score, score)
    read = client.zrevrangebyscore if newest_first else client.zrangebyscore
    end = "-inf" if newest_first else "+inf"
    found = [(score, name) for name, score in read(key, start, end, 0, limit + 1 + ties, withscores=True)]
    if place is not None:
        found = [one for one in found if (one < place if newest_first else one > place)]
    page = found[:limit]
    return [name for _, name in page], f"{page[-1][0]:.0f}-{page[-1][1]}" if len(found) > limit else None
