"""Streams chats with the openai package, which hangs up as soon as it has read [DONE]; prints what it saw as JSON.

Usage: stream_chats.py <base URL> <how many> <user>
"""

import json
import sys

from openai import OpenAI


def main(url: str, count: int, user: str) -> None:
    client = OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0, default_headers={"x-user": user})
    seen = {"streams": 0, "tokens": 0, "usageChunks": 0, "emptyChunks": 0}
    for number in range(count):
        stream = client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": f"Tell me of the number {number}"}],
            max_tokens=5 + number,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        for chunk in stream:
            seen["usageChunks"] += chunk.usage is not None
            seen["emptyChunks"] += not chunk.choices
            seen["tokens"] += bool(chunk.choices and chunk.choices[0].delta.content)
        seen["streams"] += 1
    print(json.dumps(seen))


main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
