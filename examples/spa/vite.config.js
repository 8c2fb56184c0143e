import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

export default defineConfig({
  // In a project of its own it is `npm install latchkey`, and no alias.
  resolve: { alias: { 'latchkey/client': fileURLToPath(new URL('../../dist/client/index.js', import.meta.url)) } },
  server: {
    port: 5173,
    // The service is on the app's own origin, in development as later behind a proxy: its cookies are for no other.
    proxy: { '/auth': process.env.LATCHKEY_URL ?? 'http://localhost:3000' },
    fs: { allow: ['.', '../../dist/client'] },
  },
});
