"""A shop that hangs: orders side by side, a thread that tidies up, a look-up that never returns.

    python examples/hangs.py DIR [orders]

keeps what it records, and a timeline, in the store DIR; `stichotrope top DIR` shows it from another
terminal. After so many orders (400), one of them holds everything up, as a lock or a query does,
until somebody kills the program: `kill -9`, then `stichotrope report DIR`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time

from stichotrope import Profiler

p = Profiler("shop", store=sys.argv[1], timeline=50_000)
ORDERS = int(sys.argv[2]) if len(sys.argv) > 2 else 400
draw = random.Random(4)


async def order(number: int) -> None:
    with p.block("web", "order", tag=f"order-{number}"):
        with p.block("storage", "read basket"):
            await asyncio.sleep(draw.uniform(0.001, 0.004))
        with p.block("storage", "look up prices"):
            if number == ORDERS:
                print("hangs", flush=True)
                time.sleep(3600)
            time.sleep(draw.uniform(0, 0.001))
        with p.block("payment", "charge"):
            await asyncio.sleep(draw.uniform(0.004, 0.012))


async def customer(numbers: list[int]) -> None:
    while numbers:
        await order(numbers.pop(0))


async def serve() -> None:
    numbers = list(range(1, ORDERS + 1))
    await asyncio.gather(*(customer(numbers) for _ in range(6)))


def tidy() -> None:
    while True:
        with p.block("storage", "tidy up"):
            time.sleep(0.005)
        time.sleep(0.01)


threading.Thread(target=tidy, name="tidy", daemon=True).start()
asyncio.run(serve())
