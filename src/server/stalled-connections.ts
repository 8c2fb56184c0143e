import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Closes connections whose client has not read any of a pending response for `timeoutMs` to twice that. Checking all
 * connections at an interval costs a request nothing, whereas a timeout on each socket would be reset by each request.
 */
export function closeStalledConnections(server: Server, timeoutMs: number): void {
  const bytesWritten = new Map<Socket, number>();
  const timer = setInterval(() => {
    for (const [socket, before] of bytesWritten) {
      if (socket.writableLength > 0 && socket.bytesWritten === before) socket.destroy();
      else bytesWritten.set(socket, socket.bytesWritten);
    }
  }, timeoutMs);
  server.on('connection', (socket: Socket) => {
    bytesWritten.set(socket, socket.bytesWritten);
    socket.once('close', () => bytesWritten.delete(socket));
  });
  server.once('close', () => clearInterval(timer));
}
