export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The median over the rounds of one contender divided by another. The ratio of CPU time per request is inverted, so that
 * more is better in both.
 */
export function ratio(rounds, one, other) {
  const of = (quotient) => median(rounds.map((round) => quotient(round[one], round[other])));
  return { rate: of((a, b) => a.rate / b.rate), cpu: of((a, b) => b.cpu / a.cpu) };
}

export const better = ({ rate, cpu }) => Math.max(rate, cpu);

/** Each contender's medians over the rounds. */
export function summary(rounds) {
  const figures = (name) =>
    Object.keys(rounds[0][name]).filter((figure) => typeof rounds[0][name][figure] === 'number');
  return Object.fromEntries(
    Object.keys(rounds[0]).map((name) => [
      name,
      Object.fromEntries(figures(name).map((figure) => [figure, median(rounds.map((round) => round[name][figure]))])),
    ]),
  );
}
