// Preloaded into the service: makes each lookup one GET of its own, without batching. Everything else stays as it is.
import { register } from 'node:module';

const source = `
import { callRedis } from '../redis/faults.js';
export const createBatchedLookup = (client, onSend) => (key) => {
  queueMicrotask(onSend);
  return callRedis(() => client.get(key));
};
`;
const hook = `
export async function load(url, context, next) {
  if (!url.endsWith('/dist/sessions/lookup.js')) return next(url, context);
  return { format: 'module', source: ${JSON.stringify(source)}, shortCircuit: true };
}
`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
