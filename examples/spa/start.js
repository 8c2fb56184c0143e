import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createServer } from 'vite';

const PORT = Number(process.env.PORT ?? 5173);
const service = spawn(process.execPath, [fileURLToPath(new URL('../../dist/server/main.js', import.meta.url))], {
  cwd: import.meta.dirname,
  env: { ...process.env, PORT: '0', INTERNAL_PORT: '0', PUBLIC_ORIGIN: `http://localhost:${PORT}`, LOG_LEVEL: 'warn' },
  stdio: ['ignore', 'pipe', 'inherit'],
});
service.once('exit', (code) => process.exit(code ?? 1));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => service.kill(signal));

createInterface(service.stdout).on('line', async (line) => {
  const url = /ready at (\S+)/.exec(line)?.[1];
  if (!url) return;
  process.env.LATCHKEY_URL = url;
  const vite = await createServer({
    root: import.meta.dirname,
    server: { port: PORT, strictPort: true, host: 'localhost' },
  });
  await vite.listen();
  console.log(`The app is at http://localhost:${PORT}`);
});
