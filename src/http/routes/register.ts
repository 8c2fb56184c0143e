import { Type } from '@sinclair/typebox';
import { originOf } from '../device.js';
import { Problem } from '../problem.js';
import type { App } from '../route.js';
import type { Services } from '../services.js';
import { abortedWith } from '../signal.js';

const Body = Type.Object({ username: Type.String(), password: Type.String() }, { additionalProperties: false });
const Reply = Type.Object({ subject: Type.String(), username: Type.String() });

export function register(app: App, { users, registration, report }: Services): void {
  app.post('/register', { config: { needs: 'nothing' }, schema: { body: Body, response: { 201: Reply } } }, async (request, reply) => {
    if (registration === 'closed') throw new Problem('registration_closed');
    const user = await users.register({ ...request.body, signal: abortedWith(reply) });
    report({ event: 'register', outcome: 'success', subject: user.subject, address: originOf(request).address });
    return reply.code(201).send(user);
  });
}
