// Validates docker-compose.yml with docker-compose, without an engine: it must be valid with a token key, and only then.
import { spawnSync } from 'node:child_process';

const { TOKEN_KEYS_FILE, ...environment } = process.env;

function config(extra) {
  const arguments_ = ['--file', 'docker-compose.yml', 'config', '--quiet'];
  const result = spawnSync('docker-compose', arguments_, { env: { ...environment, ...extra }, encoding: 'utf8' });
  if (result.error?.code === 'ENOENT') fail('docker-compose is not installed: apt install docker-compose');
  if (result.error) throw result.error;
  return result;
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

const withKey = config({ TOKEN_KEYS_FILE: TOKEN_KEYS_FILE ?? './token_keys' });
if (withKey.status !== 0) fail(withKey.stderr);

const withoutKey = config({});
if (withoutKey.status === 0) fail('docker-compose.yml is accepted without a token key');
if (!withoutKey.stderr.includes('TOKEN_KEYS_FILE')) fail(`Refused for another reason: ${withoutKey.stderr}`);

console.log('docker-compose.yml is valid with TOKEN_KEYS_FILE, and refused without it');
