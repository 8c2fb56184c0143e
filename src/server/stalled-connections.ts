import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Closes connections whose client has stopped reading a response, after `timeoutMs` to twice that. A periodic check of
 * all connections adds no cost to a request, unlike a socket timeout, which every request would reset.
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
