import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Ends a connection whose client leaves an answer unread for `timeoutMs` to twice that. Looking at all of them once in a
 * while costs a request nothing; a timeout of each socket would be set anew with each request.
 */
export function closeStalledConnections(server: Server, timeoutMs: number): void {
  const written = new Map<Socket, number>();
  const looking = setInterval(() => {
    for (const [socket, before] of written) {
      if (socket.writableLength > 0 && socket.bytesWritten === before) socket.destroy();
      else written.set(socket, socket.bytesWritten);
    }
  }, timeoutMs);
  server.on('connection', (socket: Socket) => {
    written.set(socket, socket.bytesWritten);
    socket.once('close', () => written.delete(socket));
  });
  server.once('close', () => clearInterval(looking));
}
