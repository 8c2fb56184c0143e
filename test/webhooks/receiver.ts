import { randomBytes } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import type { Test } from 'tap';
import type { WebhookEndpoint, WebhookEvent } from '../../src/webhooks/webhooks.js';

export interface Message {
  headers: IncomingHttpHeaders;
  body: string;
}

export type Answer = (response: ServerResponse, message: Message) => void;

export interface Receiver {
  /** Every message that arrived, verified or not. */
  messages: Message[];
  secret: string;
  url: string;
  endpoint: WebhookEndpoint;
  server: Server;
  /** How it answers, 200 at first; can be replaced while it runs. */
  answer: Answer;
}

export const createSecret = () => `whsec_${randomBytes(32).toString('base64')}`;

/** Starts a real receiver of webhooks, which ends with the test. */
export async function startReceiver(t: Test): Promise<Receiver> {
  const secret = createSecret();
  const messages: Message[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      const message = { headers: request.headers, body };
      messages.push(message);
      receiver.answer(response, message);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`;
  const receiver: Receiver = {
    messages,
    secret,
    url,
    endpoint: { url, secrets: [secret] },
    server,
    answer: (response) => response.end(),
  };
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return receiver;
}

/** Parses a message as a receiver does. @throws when its signature is wrong or its timestamp is minutes away. */
export function verify(secret: string, { body, headers }: Message): unknown {
  return new Webhook(secret).verify(body, headers as Record<string, string>);
}

export const typeOf = ({ body }: Message) => (JSON.parse(body) as WebhookEvent).type;
