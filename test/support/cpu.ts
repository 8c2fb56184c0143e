/** The processor time that work takes, in milliseconds: the same on a busy machine, unlike the time that passes. */
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
 * The time that this process has been awake, in milliseconds: a clock for deadlines that this process keeps.
 * It stands still while a busy machine does not let the process run.
 */
export function awakeMs(): number {
  return ticks * TICK_MS;
}
