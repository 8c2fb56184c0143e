import { Type } from '@sinclair/typebox';
import type { Registration } from '../../identity/registration.js';
import { register } from '../flows/register.js';
import type { Services } from '../flows/services.js';
import { admitInBatches } from '../kit/admission-queue.js';
import type { App } from '../kit/route.js';

const Body = Type.Object({ username: Type.String(), password: Type.String() }, { additionalProperties: false });
const RegisteredUser = Type.Object({ subject: Type.String(), username: Type.String() });

export function addRegisterRoute(app: App, services: Services, registration: Registration): void {
  app.post(
    '/register',
    {
      config: {
        needs: 'nothing',
        fails: [
          'invalid_username',
          'password_not_allowed',
          'registration_closed',
          'too_many_requests',
          'username_taken',
        ],
      },
      onRequest: admitInBatches(),
      schema: { summary: 'Register', body: Body, response: { 201: RegisteredUser } },
    },
    async (request, reply) =>
      reply.code(201).send(await register(request, reply, services, registration, request.body)),
  );
}
