import { readFile } from 'node:fs/promises';
import { validate } from 'dockerfile-utils';
import t from 'tap';

const dockerfile = await readFile(new URL('../../Dockerfile', import.meta.url), 'utf8');

t.test('the Dockerfile has nothing that dockerfile-utils objects to', async (t) => {
  t.same(validate(dockerfile), []);
  t.not(validate(dockerfile.replace('USER node', 'USR node')).length, 0, 'which does object to mistakes');
});

t.test('the image is built apart, runs as a user without rights, and gets its signals itself', async (t) => {
  const [, ...stages] = dockerfile.split(/^FROM /m);
  t.equal(stages.length, 2);
  const image = stages.at(-1) ?? '';
  t.match(image, /^USER node$/m);
  t.match(image, /^CMD \["node", /m);
  t.notMatch(image, /^(RUN|ADD) /m);
});
