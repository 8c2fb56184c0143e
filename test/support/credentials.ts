/** A password that the service accepts. */
export const PASSWORD = 'correct horse battery staple';

/** A token key that the service accepts. */
export const TOKEN_KEY = 'a secret of at least thirty-two characters';
