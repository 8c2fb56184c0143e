import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

export default defineConfig({
  // In your own project, `npm install latchkey` replaces this alias.
  resolve: { alias: { 'latchkey/client': fileURLToPath(new URL('../../dist/client/index.js', import.meta.url)) } },
  server: {
    port: 5173,
    // Serves the service on the app's own origin, as a proxy does in production: its cookies are for no other.
    proxy: { '/auth': process.env.LATCHKEY_URL ?? 'http://localhost:3000' },
    fs: { allow: ['.', '../../dist/client'] },
  },
});
