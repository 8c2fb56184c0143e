import { Type } from '@sinclair/typebox';
import type { Users } from '../../identity/users.js';
import { Problem } from '../problem.js';
import { reportingRefusal } from '../report.js';
import type { App } from '../route.js';
import type { Services } from '../services.js';
import { abortedWith } from '../signal.js';

const Body = Type.Object({ username: Type.String(), password: Type.String() }, { additionalProperties: false });
const Reply = Type.Object({ subject: Type.String(), username: Type.String() });

export function register(app: App, services: Services, users: Users): void {
  const { throttle, registration, report } = services;

  app.post('/register', { config: { needs: 'nothing' }, schema: { body: Body, response: { 201: Reply } } }, async (request, reply) => {
    const address = request.ip;
    const user = await reportingRefusal(services, { event: 'register', address }, async () => {
      if (registration === 'closed') throw new Problem('registration_closed');
      await throttle.admitRegistration(address);
      return users.register({ ...request.body, signal: abortedWith(reply) });
    });
    report({ event: 'register', outcome: 'success', subject: user.subject, address });
    return reply.code(201).send(user);
  });
}
