"""The gRPC tour's client on grpcio's asyncio API: all calls on one connection.

Usage: client_asyncio.py HOST:PORT tour [TRACEPARENT]
       client_asyncio.py HOST:PORT load CALLS AT_A_TIME
"""

import asyncio
import sys

import grpc
import tour


class Client:
    def __init__(self, channel):
        self.channel = channel

    async def unary(self, method, request, metadata=None, **before):
        async def ask():
            return [await self.channel.unary_unary(tour.path(method))(request, metadata=metadata)]

        await self.call(method, ask, **before)

    async def count(self, request, **before):
        async def ask():
            return [answer async for answer in self.channel.unary_stream(tour.path("Count"))(request)]

        await self.call("Count", ask, **before)

    async def collect(self, requests):
        async def ask():
            return [await self.channel.stream_unary(tour.path("Collect"))(requests)]

        await self.call("Collect", ask)

    async def chat(self, requests):
        """Each request is sent when the one before has been answered."""

        async def talk():
            conversation = self.channel.stream_stream(tour.path("Chat"))()
            answers = []
            for request in requests:
                await conversation.write(request)
                answers.append(await conversation.read())
            await conversation.done_writing()
            while (answer := await conversation.read()) is not grpc.aio.EOF:
                answers.append(answer)
            return answers

        await self.call("Chat", talk)

    async def call(self, method, ask, **before):
        try:
            answers, status, message = await ask(), grpc.StatusCode.OK, ""
        except grpc.RpcError as error:
            answers, status, message = [], error.code(), error.details()
        tour.tell(method, status.name, message, answers, **before)

    async def given_up(self, timeout=None, cancelled_after=None):
        """A call that the client ends: the message is its own then, and not told."""
        asked = self.channel.unary_unary(tour.path("Sleep"))(b"2000", timeout=timeout)
        if cancelled_after:
            asyncio.get_running_loop().call_later(cancelled_after, asked.cancel)
        tour.tell("Sleep", (await asked.code()).name, "", [])

    async def tour(self, traceparent=None):
        await self.unary("Echo", b"0123456789" * 10)
        await self.unary("Echo", b"0123456789" * 20_000)
        await self.unary("Refuse", b"5")
        await self.unary("Refuse", b"13")
        await self.collect([b"message %d" % i for i in range(5)])
        await self.count(b"7")
        await self.chat([b"message %d" % i for i in range(3)])
        await self.given_up(timeout=0.2)
        await self.given_up(cancelled_after=0.1)
        await self.unary("Missing", b"")
        if traceparent:
            await self.unary("Echo", b"traced", [("traceparent", traceparent)])

    async def load(self, calls, at_a_time):
        numbers = iter(range(int(calls)))

        async def work():
            for number in numbers:
                method, request = tour.requested(number)
                if method == "Count":
                    await self.count(request, number=number)
                else:
                    await self.unary(method, request, number=number)

        await asyncio.gather(*(work() for _ in range(int(at_a_time))))


async def main(address, scenario, *arguments):
    async with grpc.aio.insecure_channel(address, options=tour.DIRECT) as channel:
        client = Client(channel)
        await {"tour": client.tour, "load": client.load}[scenario](*arguments)


asyncio.run(main(*sys.argv[1:]))
