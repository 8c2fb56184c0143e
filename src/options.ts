/** Whether a URL's hostname is of this machine, where plain http is seen by nobody else. */
export function isLoopbackHost(hostname: string): boolean {
  return ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
}
