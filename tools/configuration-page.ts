import { rules, type Variable, variables } from '../src/server/config/config.js';

const REDIS_URLS = [
  ['a server', '`redis://[[user]:password@]host[:port][/database]`'],
  ['a server over TLS', '`rediss://…`, likewise'],
  ['a socket', '`unix://[[user]:password@]/path/to/socket`'],
  [
    'Sentinel',
    '`redis+sentinel://[[user]:password@]host[:port],host[:port]…/name[/database]`, over TLS `rediss+sentinel://…`',
  ],
  ['a Cluster', '`redis://…,redis://…`: some of its nodes, comma-separated; or `rediss://…,rediss://…`'],
];

/** docs/configuration.md, from the table that the configuration is read by. */
export function configurationPage(): string {
  const all: Variable[] = Object.values(variables);
  const secrets = all.filter(({ secret }) => secret).map(({ name }) => `\`${name}\``);
  return `# Configuration

<!-- Generated from src/server/config/config.ts by npm run docs. -->

The service is configured by its environment, which is read once, at start. All mistakes are told at once, by the names of their variables and never with their values, and the service does not start with any. An empty variable counts as unset. A name that is one letter away from one of these is warned of.

${table(['variable', 'default', 'value', 'meaning'], all.map(row))}
- A **duration** is a whole number and its unit: \`250ms\`, \`30s\`, \`15m\`, \`24h\`, \`30d\`.
- In **lists**, spaces around the commas do not matter.
- **Secrets** can be read from a file: ${secrets.join(', ')} with \`_FILE\` appended name it. The newline at its end is dropped. To give both is a mistake.

## REDIS_URL

${table(['Redis is', 'write'], REDIS_URLS)}
User and password are percent-encoded. Ports are 6379 and Sentinel's 26379 by default. With Sentinel, user and password are those of the servers behind it; the nodes of a Cluster share them.

## Between variables

Mistakes:

${listed('error')}
Warnings:

${listed('warning')}`;
}

function row({ name, type, default: value, unset, description }: Variable): string[] {
  return [`\`${name}\``, value === undefined ? `unset: ${unset}` : `\`${value}\``, type.form, description];
}

function table(heads: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |\n`;
  return [heads, heads.map(() => '---'), ...rows].map(line).join('');
}

function listed(severity: 'error' | 'warning'): string {
  return rules
    .filter((rule) => rule.severity === severity)
    .map(({ says }) => `- ${says}\n`)
    .join('');
}
