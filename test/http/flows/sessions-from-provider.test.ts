import t from 'tap';
import { providerLoginOf } from '../../../src/http/flows/sessions-from-provider.js';

t.test(
  'providerLoginOf takes only strings from the data under oidc, which the application may have set itself',
  async (t) => {
    t.strictSame(providerLoginOf({ oidc: { provider: 'corp', sid: 's', acr: 'a', more: 1 } }), {
      provider: 'corp',
      sid: 's',
      acr: 'a',
    });
    t.strictSame(providerLoginOf({ oidc: { provider: 1, sid: null, acr: ['a'] } }), {});
    for (const data of [undefined, {}, { oidc: null }, { oidc: 'corp' }]) t.strictSame(providerLoginOf(data), {});
  },
);
