import { rules } from '../src/server/config/rules.js';
import { type Variable, variables } from '../src/server/config/variables.js';

const REDIS_URLS = [
  ['a server', '`redis://[[user]:password@]host[:port][/database]`'],
  ['a server over TLS', 'the same with `rediss://`'],
  ['a socket', '`unix://[[user]:password@]/path/to/socket`'],
  [
    'Sentinel',
    '`redis+sentinel://[[user]:password@]host[:port],host[:port]…/name[/database]`, over TLS `rediss+sentinel://…`',
  ],
  ['a Cluster', '`redis://…,redis://…`: some of its nodes, comma-separated; or `rediss://…,rediss://…`'],
];

/** Builds docs/configuration.md from the tables that the configuration is read by. */
export function configurationPage(): string {
  const all: Variable[] = Object.values(variables);
  const secrets = all.filter(({ secret }) => secret).map(({ name }) => `\`${name}_FILE\``);
  return `# Configuration

<!-- Generated from src/server/config/ by npm run docs. -->

The service reads its configuration from environment variables, once, when it starts. If any variable is invalid, it \
does not start, and reports all problems at once: with the names of the variables, never with their values. An empty \
variable counts as unset. The service warns about a variable whose name differs in one letter from one of these.

${table(['variable', 'default', 'value', 'meaning'], all.map(toRow))}
- A **duration** is a whole number with its unit: \`250ms\`, \`30s\`, \`15m\`, \`24h\`, \`30d\`.
- **Lists** may have spaces around the commas.
- **Secrets** can be read from files: set ${secrets.join(', ')} to the path of a file. A newline at the end of the \
file is ignored. Setting both a variable and its \`_FILE\` is an error.

## REDIS_URL

${table(['Redis is', 'format'], REDIS_URLS)}
Percent-encode the user and the password. The default port is 6379, or 26379 for Sentinel. With Sentinel, the user and \
the password are those of the Redis servers, not of Sentinel. All nodes of a Cluster have the same user and password.

## Rules between variables

Errors:

${list('error')}
Warnings:

${list('warning')}`;
}

function toRow({ name, format, default: value, unset, description }: Variable): string[] {
  return [`\`${name}\``, value === undefined ? `unset: ${unset}` : `\`${value}\``, format.description, description];
}

function table(heads: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |\n`;
  return [heads, heads.map(() => '---'), ...rows].map(line).join('');
}

function list(severity: 'error' | 'warning'): string {
  return rules
    .filter((rule) => rule.severity === severity)
    .map(({ message }) => `- ${message}\n`)
    .join('');
}
