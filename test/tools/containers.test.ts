import { readFile } from 'node:fs/promises';
import { validate } from 'dockerfile-utils';
import t from 'tap';

const dockerfile = await readFile(new URL('../../Dockerfile', import.meta.url), 'utf8');

t.test('dockerfile-utils accepts the Dockerfile, and refuses a broken one', async (t) => {
  t.same(validate(dockerfile), []);
  t.not(validate(dockerfile.replace('USER node', 'USR node')).length, 0, 'an unknown instruction is refused');
});

t.test(
  'the image has its own build stage, runs as an unprivileged user, and starts node without a shell',
  async (t) => {
    const [, ...stages] = dockerfile.split(/^FROM /m);
    t.equal(stages.length, 2);
    const image = stages.at(-1) ?? '';
    t.match(image, /^USER node$/m);
    t.match(image, /^CMD \["node", /m);
    t.notMatch(image, /^(RUN|ADD) /m);
  },
);
