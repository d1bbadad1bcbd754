"""What `OpenAICaptioner` makes of a server that answers every question in a set time.

    python -m benchmarks.captioner --pictures 240 --in-flight 16 --seconds 0.5

The server, a process of its own on this machine, reads a question, waits and answers. With N questions on their way it
can give N / seconds answers a second, whoever asks: that is the limit. Pictures are 640 × 480, each asked about twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import time
from multiprocessing.connection import Connection

import numpy as np

from tr2m_plugin.description.openai_captioner import OpenAICaptioner
from tr2m_plugin.rows import IndexRow

PROMPTS = ("Describe the image in one sentence.", "Express the image in just one sentence.")
ANSWER = json.dumps({"choices": [{"finish_reason": "stop", "message": {"content": "A room."}}]}).encode()
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)


def serve(told: Connection, seconds: float) -> None:
    """Answers on a free port, which it tells, until it is ended."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
                await reader.readexactly(length)
                await asyncio.sleep(seconds)
                writer.write(RESPONSE)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=2**24)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=240)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=0.5, help="what an answer takes (default: 0.5)")
    args = parser.parse_args()
    os.environ["NO_PROXY"] = "127.0.0.1"
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (args.pictures, 30, 40, 3), np.uint8)
    images = [picture.repeat(16, 0).repeat(16, 1) for picture in small]
    rows = [IndexRow(dataset="d", sample_id=str(i), split="train", image="") for i in range(args.pictures)]
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, args.seconds), daemon=True)
    server.start()
    try:
        address = f"http://127.0.0.1:{ours.recv()}/v1"
        captioner = OpenAICaptioner("model", address, PROMPTS, in_flight=args.in_flight)
        captioner.describe(rows[:1], images[:1])
        began = time.perf_counter()
        answers = len(captioner.describe(rows, images))
        rate = answers / (time.perf_counter() - began)
    finally:
        server.terminate()
    limit = args.in_flight / args.seconds
    print(
        f"{args.in_flight} questions in flight, answered in {args.seconds:g} s each: {rate:.1f} answers/s of the "
        f"{limit:.1f} that the server can give, {rate / limit:.2f} of its limit"
    )


if __name__ == "__main__":
    main()
