/** Measures the processor time of `work` in milliseconds, which a busy machine does not change. */
export function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const TICK_MS = 10;
let ticks = 0;
setInterval(() => ticks++, TICK_MS).unref();

/**
 * Returns for how long this process has been able to run, in milliseconds. Use it to check deadlines that this
 * process keeps: it stops while a busy machine does not schedule the process.
 */
export function awakeMs(): number {
  return ticks * TICK_MS;
}
