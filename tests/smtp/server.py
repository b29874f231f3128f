"""A mail server of another make: refuses for now, is slow, hangs up, and then takes messages and tells on standard output what they hold."""

import asyncio
import email
import email.policy
import json

from aiosmtpd.smtp import SMTP


class Handler:
    def __init__(self):
        self.messages = 0

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address.startswith("gone@"):
            return "550 5.1.1 nobody of this name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.messages += 1
        if self.messages == 1:
            return "451 4.7.1 come again"
        if self.messages == 2:
            await asyncio.sleep(4)
        if self.messages == 3:
            server.transport.abort()
            return "250 taken"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "id": message["Message-ID"],
            "subject": message["Subject"],
            "defects": [str(defect) for part in message.walk() for defect in part.defects],
            "text": message.get_body(("plain",)).get_content(),
            "html": message.get_body(("html",)).get_content(),
        }
        print(json.dumps(told), flush=True)
        return "250 taken"


async def main():
    handler = Handler()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, enable_SMTPUTF8=True), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
