/** The processor time that work takes, in milliseconds: unlike the time that passes, the same on a machine that is busy. */
export function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
