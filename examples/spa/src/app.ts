import { createClient, LatchkeyClientError, type Device, type Session } from 'latchkey/client';

const REASONS: Record<string, string> = {
  logged_out: 'You are logged out.',
  logged_out_elsewhere: 'This device was logged out using another device.',
  password_changed: 'Your password was changed on another device.',
  reused: 'An old copy of your login was used, perhaps by somebody else.',
};

const client = createClient({ refreshAhead: true, onSignedOut: (reason) => showLogin(REASONS[reason]) });

const element = <T extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as T;
const form = element<HTMLFormElement>('login');

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const { username, password, action } = Object.fromEntries(new FormData(form, event.submitter)) as Record<
    string,
    string
  >;
  try {
    if (action === 'register') await client.register({ username, password });
    await showAccount(await client.login({ username, password }));
  } catch (error) {
    say(textOf(error));
  }
});

element('logout').addEventListener('click', () => client.logout('session').catch((error) => say(textOf(error))));

const session = await client.session();
if (session) await showAccount(session);
else showLogin();

function showLogin(message = ''): void {
  element('account').hidden = true;
  element('devices').replaceChildren();
  form.hidden = false;
  say(message);
}

async function showAccount({ username, subject }: Session): Promise<void> {
  form.reset();
  form.hidden = true;
  say('');
  element('name').textContent = username ?? subject;
  element('account').hidden = false;
  element('devices').replaceChildren(...(await client.sessions()).map(deviceItem));
}

function deviceItem(device: Device): HTMLElement {
  const item = document.createElement('li');
  const lastSeen = new Date(device.renewed_at * 1000).toLocaleString();
  item.append(`${device.device}, last seen ${lastSeen} `);
  if (device.current) item.append('(this one)');
  else {
    const button = document.createElement('button');
    button.textContent = 'Log out';
    button.addEventListener('click', () =>
      client.endSession(device.id).then(
        () => item.remove(),
        (error) => say(textOf(error)),
      ),
    );
    item.append(button);
  }
  return item;
}

function say(text: string): void {
  element('message').textContent = text;
}

function textOf(error: unknown): string {
  return error instanceof LatchkeyClientError ? error.message : 'That did not work.';
}
